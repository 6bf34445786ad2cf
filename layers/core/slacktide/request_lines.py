"""A line of a job's input: the user's body under an id of ours, with the model's name at the backend."""

import msgspec

from slacktide.batch import Job
from slacktide.ids import RequestId

# What stands around a body, at most: `{"custom_id":"<50 characters>","method":"POST","url":"/v1/chat/completions","body":…}` and
# a line feed are 124 bytes. A longer name of the model comes to it; the kept lines, whose bytes count, have 26 of their own.
ENVELOPE_BYTES = 128


class _Named(msgspec.Struct):
    model: str


_NAMED = msgspec.json.Decoder(_Named)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def request_line(job: Job, line: int, body: bytes) -> bytes:
    """The line that goes to the backend. Of the body only `model` is changed, where the backend has another name for it."""
    if _NAMED.decode(body).model != job.upstream_model:
        body = msgspec.json.encode(_FIELDS.decode(body) | {"model": job.upstream_model})
    head = msgspec.json.encode(
        {"custom_id": str(RequestId(job.batch_id, job.round, line)), "method": "POST", "url": job.endpoint}
    )
    return head[:-1] + b',"body":' + body + b"}\n"
