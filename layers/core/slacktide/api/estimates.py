"""What an uploaded file would cost, before a batch is made of it."""

from dataclasses import dataclass

from slacktide.api.errors import BadRequestError
from slacktide.api.files import FileService
from slacktide.api.models import ModelService
from slacktide.batch import Options
from slacktide.compression import MEGABYTE, Limits
from slacktide.estimating import Estimate, Estimator
from slacktide.settings import Settings
from slacktide.sources import Sources

LARGEST = 300 * MEGABYTE  # read and counted within the 29 seconds of a call


@dataclass(frozen=True, slots=True)
class EstimateService:
    """Estimates by the stack's own table and backends. Prompts are bounded, not counted: a function has no vocabularies."""

    files: FileService
    models: ModelService
    sources: Sources
    settings: Settings

    def estimate(self, owner: str, file_id: str, *, compare: bool) -> Estimate:
        """What a file would cost; `compare`: on the other models of the table too. Raises NoSuchThingError."""
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
        return estimator.estimate(blocks, name=None, size=source.bytes, options=Options(), compare=compare)
