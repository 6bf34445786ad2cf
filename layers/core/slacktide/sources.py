"""The input of a batch in the bucket: one object, or a list of them, as one stream."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from slacktide.batch import ObjectRef
from slacktide.bucket import Bucket
from slacktide.compression import MEGABYTE, Limits
from slacktide.inputs import InputFile, open_input
from slacktide.keys import UPLOAD_PREFIX
from slacktide.settings import Settings

_LIST = msgspec.json.Decoder(list[ObjectRef])


@dataclass(frozen=True, slots=True)
class Sources:
    """Opens what batches are made of."""

    bucket: Bucket
    settings: Settings

    def open(self, source: ObjectRef) -> InputFile:
        """An input, decompressed. A dropped one is what its name says; of an uploaded one the first bytes say what it is."""
        limits = Limits(self.settings.largest_input_megabytes * MEGABYTE, self.settings.largest_input_ratio)
        name = None if source.key.startswith(UPLOAD_PREFIX) else source.key
        blocks = self.blocks(source) if source.bytes else ()
        return open_input(blocks, name=name, size=source.bytes, limits=limits, md5=source.md5)

    def blocks(self, source: ObjectRef) -> Iterator[bytes]:
        """The content of an input, object after object. Raises ObjectMissingError."""
        for one in self.objects(source):
            if one.bytes:
                yield from self.bucket.stream(one.key, one.version_id)

    def objects(self, source: ObjectRef) -> list[ObjectRef]:
        """The objects that an input consists of, in order."""
        if not source.is_list:
            return [source]
        return _LIST.decode(b"".join(self.bucket.stream(source.key, source.version_id)))
