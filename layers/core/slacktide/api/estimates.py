"""What an uploaded file would cost, before a batch is made of it."""

from dataclasses import dataclass
from itertools import islice
from statistics import median

import msgspec

from slacktide.api.errors import BadRequestError
from slacktide.api.files import FileService
from slacktide.api.models import ModelService
from slacktide.batch import Options
from slacktide.compression import MEGABYTE, Limits
from slacktide.estimating import Estimate, Estimator
from slacktide.records import Records
from slacktide.settings import Settings
from slacktide.sources import Sources
from slacktide.statuses import BatchStatus

LARGEST = 300 * MEGABYTE  # read and counted within the 29 seconds of a call
LOOKED_AT, RECALLED = 200, 20  # of the newest ended batches of an owner, and of those with the same models


@dataclass(frozen=True, slots=True)
class EstimateService:
    """Estimates by the stack's own table and backends. Prompts are bounded, not counted: a function has no vocabularies."""

    records: Records
    files: FileService
    models: ModelService
    sources: Sources
    settings: Settings

    def estimate(self, owner: str, file_id: str, *, compare: bool) -> Estimate:
        """What a file would cost; `compare`: on the other models of the table too. Raises NoSuchThingError.

        How long it may take is the median of what the owner's last batches of these models have taken; None without any.
        """
        source = self.files.ready(owner, file_id).source
        if source is None or source.bytes > LARGEST:
            raise BadRequestError(f"Files of up to {LARGEST} bytes are estimated here. `slacktide estimate FILE` takes any.")
        routes = self.models.routes()
        here = self.settings
        limits = Limits(min(LARGEST, here.largest_input_megabytes * MEGABYTE), here.largest_input_ratio)
        estimator = Estimator(
            routes.models,
            routes.route,
            instance_type=here.transform_instance_type,
            instance_count=here.transform_instance_count,
            limits=limits,
        )
        blocks = self.sources.blocks(source)
        found = estimator.estimate(blocks, name=None, size=source.bytes, options=Options(), compare=compare)
        return msgspec.structs.replace(found, seconds=self._recall(owner, {group.model for group in found.groups}))

    def _recall(self, owner: str, models: set[str]) -> int | None:
        ended = (batch for batch in self.records.batches_of_owner(owner) if batch.status is BatchStatus.COMPLETED)
        alike = (batch for batch in islice(ended, LOOKED_AT) if models & set(batch.models))
        times = [(batch.ended_at or batch.begins_at) - batch.begins_at for batch in islice(alike, RECALLED)]
        return round(median(times)) if times else None
