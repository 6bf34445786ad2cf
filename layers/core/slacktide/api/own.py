"""Calls that no other Batch API has, in both dialects: estimate, receipt, manifest, finished parts, retry of failed lines."""

from http import HTTPStatus
from typing import Any

import msgspec

from slacktide.api.calls import Call, Reply
from slacktide.api.errors import BadRequestError
from slacktide.api.parts import FinishedPart
from slacktide.api.routing import Api, Route
from slacktide.batch import Batch
from slacktide.codes import CodeClass
from slacktide.estimating import Estimate

FOUND = HTTPStatus.FOUND


class Retry(msgspec.Struct, frozen=True):
    """Which failed lines are run again: those whose error is of these classes. By default all but `invalid_line`."""

    classes: list[CodeClass] | None = None


class PartPage(msgspec.Struct, frozen=True):
    """The finished parts of a batch by now."""

    data: list[FinishedPart]
    object: str = "list"


def retry(api: Api, call: Call, batch_id: str) -> Batch:
    """The new batch; each dialect renders it."""
    return api.batches.retry(call.owner, batch_id, call.json(Retry).classes, call.attempt)


def retrieve_receipt(api: Api, call: Call, batch_id: str) -> Reply:
    """What an ended batch has used."""
    return Reply(api.batches.document(call.owner, batch_id, "receipt.json"))


def retrieve_manifest(api: Api, call: Call, batch_id: str) -> Reply:
    """Counts, sizes and checksums of the results of an ended batch."""
    return Reply(api.batches.document(call.owner, batch_id, "manifest.json"))


def estimate_file(api: Api, call: Call, file_id: str) -> Reply:
    """What an uploaded file would cost, by backend, and what of it would be refused."""
    compare = call.query.get("compare", "false")
    if compare not in {"true", "false"}:
        raise BadRequestError("compare is true or false.", param="compare")
    return Reply(api.estimates.estimate(call.owner, file_id, compare=compare == "true"))


def list_parts(api: Api, call: Call, batch_id: str) -> Reply:
    """The finished parts of a batch, also while it runs."""
    return Reply(PartPage(api.parts.finished(call.owner, batch_id)))


def retrieve_part(api: Api, call: Call, batch_id: str, part_id: str) -> Reply:
    """Where a part is: a redirect to a URL that is good for minutes."""
    return Reply(status=FOUND, headers={"Location": api.parts.locate(call.owner, batch_id, part_id)})


def routes(root: str) -> tuple[Route, ...]:
    """These calls below the root of a dialect."""
    batch = f"{root}/batches/{{batch_id}}"
    compare = {"compare": "true: on the other models of the table too."}
    return (
        Route("GET", f"{root}/files/{{file_id}}/estimate", estimate_file, "What a file would cost", Estimate, query=compare),
        Route("GET", f"{batch}/receipt", retrieve_receipt, "What a batch has used", dict[str, Any]),
        Route("GET", f"{batch}/manifest", retrieve_manifest, "What the results of a batch are", dict[str, Any]),
        Route("GET", f"{batch}/parts", list_parts, "List the finished parts of a batch", PartPage),
        Route("GET", f"{batch}/parts/{{part_id}}", retrieve_part, "Read a finished part", status=FOUND),
    )
