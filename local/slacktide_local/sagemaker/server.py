"""The HTTP side: AWS JSON 1.1 at `/`, the control endpoints beside it."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import aiohttp
from aiohttp import web

from slacktide_local.sagemaker.account import Account
from slacktide_local.sagemaker.control import add_control_routes
from slacktide_local.sagemaker.errors import ApiError
from slacktide_local.sagemaker.faults import DropAfterAccept, Faults, Refusal
from slacktide_local.sagemaker.ledger import Ledger
from slacktide_local.sagemaker.objects import ObjectStore
from slacktide_local.sagemaker.operations import OPERATIONS, StandIn
from slacktide_local.sagemaker.runner import Runner
from slacktide_local.sagemaker.settings import Settings
from slacktide_local.sagemaker.shapes import check_shape, load_service

log = logging.getLogger(__name__)

TARGET_PREFIX = "SageMaker."
STAND_IN = web.AppKey("stand_in", StandIn)


def build_stand_in(settings: Settings, *, store: ObjectStore, session: aiohttp.ClientSession) -> StandIn:
    """Wire the parts together."""
    ledger, faults = Ledger(), Faults()
    return StandIn(
        settings=settings,
        account=Account(region=settings.region, account_id=settings.account_id),
        store=store,
        runner=Runner(settings=settings, store=store, ledger=ledger, faults=faults, session=session),
        faults=faults,
        ledger=ledger,
    )


def build_app(stand_in: StandIn) -> web.Application:
    """The application; when it is cleaned up, every job is stopped and its containers have ended."""
    load_service()  # half a second, better spent before the first request than in it
    app = web.Application()
    app[STAND_IN] = stand_in
    app.router.add_post("/", answer)
    add_control_routes(app, stand_in)
    app.cleanup_ctx.append(_close_runner)
    return app


async def _close_runner(app: web.Application) -> AsyncIterator[None]:
    yield
    stand_in = app[STAND_IN]
    await stand_in.runner.close(list(stand_in.account.jobs.values()))


async def answer(request: web.Request) -> web.Response:
    """One call of the API: note it, check it, do it, and answer as boto3 expects."""
    stand_in = request.app[STAND_IN]
    action = request.headers.get("X-Amz-Target", "").removeprefix(TARGET_PREFIX)
    members: dict[str, Any] = {}
    try:
        members = _read_members(await request.read())
        response = await _perform(stand_in, action, members)
    except ApiError as error:
        stand_in.ledger.note_call(action, _find_name(members), error.code)
        return _reply({"__type": error.code, "message": error.message}, status=error.status)
    name = _find_name(members)
    stand_in.ledger.note_call(action, name, "ok")
    log.info("api call", extra={"action": action, "resource": name})
    if action == "CreateTransformJob" and (drop := stand_in.faults.take(DropAfterAccept, name)):
        return _lose_answer(request, drop)
    return _reply(response)


async def _perform(stand_in: StandIn, action: str, members: dict[str, Any]) -> dict[str, Any]:
    if action not in OPERATIONS:
        known = ", ".join(OPERATIONS)
        raise ApiError("UnknownOperationException", f"The local SageMaker stand-in has no operation '{action}'. It has {known}.")
    check_shape(action, members)
    if fault := stand_in.faults.take(Refusal, _find_name(members), action=action):
        raise ApiError(fault.code, fault.message, status=fault.status)
    return await OPERATIONS[action](stand_in, members)


def _read_members(body: bytes) -> dict[str, Any]:
    try:
        members: Any = json.loads(body or b"{}")
    except ValueError as error:
        raise ApiError("SerializationException", "The request's body is not JSON.") from error
    if not isinstance(members, dict):
        raise ApiError("SerializationException", "The request's body is not a JSON object.")
    return {name: value for name, value in members.items() if value is not None}  # pyright: ignore[reportUnknownVariableType]


def _find_name(members: dict[str, Any]) -> str:
    return str(members.get("TransformJobName") or members.get("ModelName") or "")


def _lose_answer(request: web.Request, drop: DropAfterAccept) -> web.Response:
    lost = _reply({"__type": "InternalFailure", "message": "We encountered an internal error. Please try again."}, status=500)
    if drop.answer == "connection" and request.transport:
        request.transport.abort()
    return lost


def _reply(members: dict[str, Any], *, status: int = 200) -> web.Response:
    return web.Response(
        body=json.dumps(members).encode(),
        status=status,
        content_type="application/x-amz-json-1.1",
        headers={"x-amzn-RequestId": str(uuid4())},
    )
