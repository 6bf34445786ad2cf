"""Events of API Gateway in, answers out: who calls is looked up, the call found in the table, and errors become answers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError as NoRouteError

from slacktide.access import AccessKey, AccessKeys
from slacktide.api import openai, together
from slacktide.api.calls import Call, Reply, read_body
from slacktide.api.errors import (
    ApiError,
    NoSuchThingError,
    RateLimitError,
    UnavailableError,
    UnknownKeyError,
    WrongMethodError,
)
from slacktide.api.routing import Api, Route
from slacktide.errors import ConflictError, ObjectMissingError, SlacktideError
from slacktide.log import logger

ROUTES: tuple[Route, ...] = (*together.ROUTES, *openai.ROUTES)
# Errors of the library that no service expects, since they come of what others do at the same time, or of lifecycle rules.
ANSWERS: dict[type[SlacktideError], ApiError] = {
    ConflictError: UnavailableError("Others are changing the same thing at this moment. Send the call again.", after=1),
    ObjectMissingError: NoSuchThingError("What this call needs of the bucket is not there any more.", code="content_gone"),
}


@dataclass(frozen=True, slots=True)
class App:
    """Answers calls. `requests_per_second` is the rate of keys that have none of their own."""

    api: Api
    access: AccessKeys
    requests_per_second: int
    now: Callable[[], int]

    def resolver(self) -> APIGatewayRestResolver:
        """The table of calls as Powertools takes it; `resolve(event, context)` answers an event."""
        resolver = APIGatewayRestResolver()
        for route in ROUTES:
            path = route.path.replace("{", "<").replace("}", ">")
            resolver.route(path, method=route.method)(self._answerer(resolver, route))
        resolver.not_found(self._no_route(resolver))
        for kind, error in ANSWERS.items():
            resolver.exception_handler(kind)(partial(_translate, error))
        resolver.exception_handler(Exception)(_fail)
        return resolver

    def _answerer(self, resolver: APIGatewayRestResolver, route: Route) -> Callable[..., Response[Any]]:
        def answer(**names: str) -> Response[Any]:
            try:
                return _respond(route.handler(self.api, self._read(resolver.current_event.raw_event), **names))
            except ApiError as error:
                return _refuse(error)

        return answer

    def _no_route(self, resolver: APIGatewayRestResolver) -> Callable[[NoRouteError], Response[Any]]:
        def answer(_: NoRouteError) -> Response[Any]:
            try:
                call = self._read(resolver.current_event.raw_event)
                raise _unknown_path(call.path)
            except ApiError as error:
                return _refuse(error)

        return answer

    def _read(self, event: dict[str, Any]) -> Call:
        headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
        key = self._admit(headers)
        return Call(key, event["path"], headers, event.get("queryStringParameters") or {}, read_body(event))

    def _admit(self, headers: dict[str, str]) -> AccessKey:
        scheme, _, text = headers.get("authorization", "").partition(" ")
        key = self.access.find(text.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            raise UnknownKeyError("No API key, or one that is unknown or revoked. Send it as `Authorization: Bearer KEY`.")
        after = self.access.count_call(key, self.now(), self.requests_per_second)
        if after is not None:
            raise RateLimitError(f"This key calls too often. Come again in {after} s.", after=after)
        logger.append_keys(key_id=key.key_id)
        return key


def _unknown_path(path: str) -> ApiError:
    if path in {route.path for route in ROUTES}:
        return WrongMethodError("This path is there, but not with this method.")
    return NoSuchThingError(f"There is no such call. Batches are at {together.ROOT}/batches and {openai.ROOT}/batches.")


def _respond(reply: Reply) -> Response[Any]:
    body = msgspec.json.encode(reply.value).decode() if reply.value is not None else "{}"
    return Response(int(reply.status), "application/json", body, headers=dict(reply.headers))


def _refuse(error: ApiError) -> Response[Any]:
    return _respond(Reply(error.body, error.status, error.headers))


def _translate(error: ApiError, _: Exception) -> Response[Any]:
    return _refuse(error)


def _fail(error: Exception) -> Response[Any]:
    """What nobody expected: the log has it, the answer our own words."""
    logger.exception("call failed", kind=type(error).__name__)
    return _refuse(ApiError("Something failed here; the log of the function api says what. Try again."))
