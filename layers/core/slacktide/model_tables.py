"""The model table that a batch is pinned to: the shipped one, or one version of `config/models.toml` laid over it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slacktide.backends.protocol import Backend
from slacktide.bucket import Bucket
from slacktide.keys import MODELS_KEY
from slacktide.models import MOST_TABLE_BYTES, ModelTable, read_override
from slacktide.routes import Routes


@dataclass(frozen=True, slots=True)
class ModelTables:
    """Finds and reads model tables; one version is the same for a batch from its start to its end."""

    bucket: Bucket
    shipped: ModelTable
    backends: Mapping[str, Backend]

    def newest(self) -> str | None:
        """The version id of `config/models.toml` as it is now; None when there is none, which means the shipped table."""
        head = self.bucket.head(MODELS_KEY)
        return None if head is None else str(head["VersionId"])

    def routes(self, version: str | None, override: Sequence[str] | None = None) -> Routes:
        """The table of a version, seen through the backends that this stack has; `override` takes the place of every route.

        Raises ModelTableError where its content is wrong, ObjectMissingError where the version is gone.
        """
        table = self.shipped if version is None else read_override(self._read(version), self.shipped)
        return Routes(table, self.backends, override)

    def _read(self, version: str) -> bytes:
        """The content of a version, cut off soon behind the size that a table may have."""
        data = bytearray()
        for block in self.bucket.stream(MODELS_KEY, version):
            data += block
            if len(data) > MOST_TABLE_BYTES:
                break
        return bytes(data)
