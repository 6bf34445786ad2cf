"""A line of a job's input: the user's body under an id of ours, with the model's name at the backend."""

from dataclasses import dataclass
from typing import Self

import msgspec

from slacktide.batch import Job
from slacktide.ids import request_prefix

# What stands around a body, at most: `{"custom_id":"<50 characters>","method":"POST","url":"/v1/chat/completions","body":…}` and
# a line feed are 124 bytes. A longer name of the model comes to it; the kept lines, whose bytes count, have 26 of their own.
ENVELOPE_BYTES = 128


class _Named(msgspec.Struct):
    model: str


_NAMED = msgspec.json.Decoder(_Named)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class RequestLines:
    """Writes the lines of one job: what they have in common is made once."""

    model: str
    head: bytes
    middle: bytes

    @classmethod
    def of(cls, job: Job) -> Self:
        """Those of a job."""
        head = f'{{"custom_id":"{request_prefix(job.batch_id, job.round)}'
        middle = f'","method":"POST","url":"{job.endpoint}","body":'
        return cls(job.upstream_model, head.encode(), middle.encode())

    def write(self, line: int, body: bytes) -> bytes:
        """The line that goes to the backend. Of the body only `model` is changed, where the backend has another name for it."""
        if _NAMED.decode(body).model != self.model:
            body = msgspec.json.encode(_FIELDS.decode(body) | {"model": self.model})
        return b"%b%d%b%b}\n" % (self.head, line, self.middle, body)
