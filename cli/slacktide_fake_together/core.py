"""The fake itself: state, handlers and scripts, without sockets, threads or a clock of its own."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from threading import Lock
from typing import Any

import msgspec

from slacktide_fake_together.account import Account, Answer, BatchState
from slacktide_fake_together.answers import encode
from slacktide_fake_together.batches import quote_prompt
from slacktide_fake_together.faults import (
    CallFault,
    Cut,
    Delay,
    Drop,
    Fault,
    Faults,
    Fields,
    Refuse,
    Slow,
    Status,
    Timeout,
    read_faults,
)
from slacktide_fake_together.ledger import CallEntry, Ledger
from slacktide_fake_together.messages import JSON, ApiError, Delivery, Reply, Request
from slacktide_fake_together.progress import advance, limit_lines, run_out
from slacktide_fake_together.routes import Route, find_route
from slacktide_fake_together.service import Service
from slacktide_fake_together.settings import Settings

_HTML = "<!DOCTYPE html><html><head><title>{status}</title></head><body><h1>{message}</h1></body></html>"


class FakeTogether:
    """A Together Batch API in memory: `handle` answers requests; batches move on by `clock` (Unix seconds) alone.

    Equal seeds and equal requests make equal answers. It may be called from several threads.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
        has_engine: bool = False,
    ) -> None:
        settings = settings or Settings()
        account, faults = Account(Random(f"{seed}.ids")), Faults(Random(f"{seed}.faults"))  # noqa: S311  # scripts, not secrets
        self.ledger = Ledger()
        self.service = Service(
            settings, clock, Random(f"{seed}.order"), account, faults, self.ledger, set(settings.keys), has_engine  # noqa: S311
        )  # fmt: skip
        self._lock = Lock()

    def script(self, faults: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Add faults. msgspec.ValidationError says what is wrong with them."""
        self.add_faults(read_faults(faults))

    def add_faults(self, faults: Sequence[Fault]) -> None:
        """Add faults that have been read already."""
        self.service.faults.add(faults, self.service.clock())

    def rotate_keys(self, keys: Sequence[str]) -> None:
        """From now on these keys are good, and no others."""
        self.service.keys = set(keys)

    def handle(self, request: Request) -> Reply:
        """Answer one request. What a network would do to the answer is in its `delivery`, `cut_at`, `late` and `pace`."""
        with self._lock:
            self.advance()
            found = find_route(request.method, request.path)
            if found is None:
                return ApiError(404, f"There is no {request.method} {request.path}.", code="not_found").render()
            route, arguments = found
            if route.is_control:
                return self._perform(route, request, arguments)
            fault = self.service.faults.take_call(route.call, request.path, self.service.clock())
            reply = self._answer(route, request, arguments, fault)
            self._note(route, request, reply, fault)
            return replace(reply, late=reply.late + self.service.settings.latency_seconds)

    def advance(self) -> None:
        """Bring every batch to where it is now."""
        for batch in list(self.service.account.unfinished()):
            advance(self.service, batch, self.service.clock())

    def run_out(self) -> None:
        """End every batch as it would if nobody did anything, so that the ledger is complete."""
        with self._lock:
            self.advance()
            for batch in list(self.service.account.unfinished()):
                run_out(self.service, batch, self.service.clock())

    def open_lines(self) -> list[tuple[str, int, str, bytes]]:
        """What an engine has to answer: batch id, index, endpoint, body. A batch that gets stuck or ends early wants no more."""
        with self._lock:
            self.advance()
            return [
                (batch.id, index, batch.endpoint, bytes(batch.lines[index].body))
                for batch in self.service.account.unfinished()
                if batch.state is BatchState.IN_PROGRESS
                for index in batch.order[: limit_lines(batch)]
                if index not in batch.answers
            ]

    def deliver(self, batch_id: str, index: int, status: int, body: bytes) -> None:
        """Take an engine's answer to a line. One that is not JSON, or comes too late, is none."""
        with self._lock:
            batch = self.service.account.batches[batch_id]
            if batch.state is not BatchState.IN_PROGRESS:
                return
            try:
                msgspec.json.decode(body, type=dict[str, Any])
                batch.answers[index] = Answer(status, msgspec.Raw(body))
            except msgspec.MsgspecError:
                error = {"message": "The engine's answer was no JSON object.", "code": "engine_error"}
                batch.answers[index] = Answer(502, encode({"error": error}))

    def _answer(self, route: Route, request: Request, arguments: dict[str, Any], fault: CallFault | None) -> Reply:
        if isinstance(fault, Refuse) or (isinstance(fault, Status | Timeout | Drop) and not fault.accepted):
            return self._lose(request, fault)
        reply = self._perform(route, request, arguments)
        return self._lose(request, fault) if isinstance(fault, Status | Timeout | Drop) else alter(reply, fault)

    def _lose(self, request: Request, fault: Status | Timeout | Drop | Refuse) -> Reply:
        """What comes in place of an answer."""
        match fault:
            case Status():
                return self._render_status(request, fault)
            case Timeout():
                return Reply(delivery=Delivery.HANGING)
            case Drop():
                return Reply(delivery=Delivery.DROPPED)
            case Refuse():
                return Reply(delivery=Delivery.REFUSED)

    def _perform(self, route: Route, request: Request, arguments: dict[str, Any]) -> Reply:
        try:
            if route.needs_key:
                self._check_key(request)
            return route.handler(self.service, request, **arguments)
        except ApiError as error:
            return error.render()

    def _check_key(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or key.strip() not in self.service.keys:
            raise ApiError(401, "Invalid API key provided.", code="invalid_api_key")

    def _render_status(self, request: Request, fault: Status) -> Reply:
        message = quote_prompt(self.service, request, fault.message)
        headers = {"content-type": JSON}
        match fault.body:
            case "json":
                kind = "server_error" if fault.status >= 500 else "invalid_request_error"
                body = ApiError(fault.status, message, code=fault.code, kind=kind).render().body
            case "html":
                body = _HTML.format(status=fault.status, message=message).encode()
                headers = {"content-type": "text/html; charset=utf-8"}
            case "text":
                body, headers = message.encode(), {"content-type": "text/plain; charset=utf-8"}
            case "empty":
                body = b""
        if fault.retry_after is not None:
            headers["retry-after"] = f"{fault.retry_after:g}"
        return Reply(fault.status, body, headers)

    def _note(self, route: Route, request: Request, reply: Reply, fault: CallFault | None) -> None:
        is_answered = reply.delivery in {Delivery.WHOLE, Delivery.CUT}
        retries = request.headers.get("x-stainless-retry-count", "")
        kind = str(type(fault).__struct_config__.tag) if fault else None
        self.ledger.note_call(
            CallEntry(
                self.service.clock(), route.call, request.path, reply.status if is_answered else None, kind,
                int(retries) if retries.isdecimal() else None,
            )
        )  # fmt: skip


def alter(reply: Reply, fault: CallFault | None) -> Reply:
    """What a script does to an answer."""
    match fault:
        case Delay():
            return replace(reply, late=fault.seconds_late)
        case Slow():
            return replace(reply, pace=fault.bytes_per_second)
        case Cut(honest=True):
            return replace(reply, delivery=Delivery.CUT, cut_at=int(len(reply.body) * fault.at))
        case Cut():
            return replace(reply, body=reply.body[: int(len(reply.body) * fault.at)])
        case Fields() if reply.status < 300 and reply.headers.get("content-type") == JSON:
            return replace(reply, body=change_fields(reply.body, fault))
        case _:
            return reply


def change_fields(body: bytes, fault: Fields) -> bytes:
    """An answer in JSON with members set and removed, in each of its jobs or files."""
    value: Any = msgspec.json.decode(body)
    items: list[Any] = value if isinstance(value, list) else [value]
    for item in items:
        targets: list[Any] = item["data"] if isinstance(item.get("data"), list) else [item.get("job", item)]
        for target in targets:
            target.update(fault.set)
            for name in fault.remove:
                target.pop(name, None)
    return msgspec.json.encode(value)
