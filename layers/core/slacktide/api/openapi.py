"""The OpenAPI document of the HTTP API, made of the table of calls: `python -m slacktide.api.openapi > docs/api/openapi.json`."""

import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec

from slacktide.api import openai
from slacktide.api.app import ROUTES
from slacktide.api.errors import (
    ApiError,
    BadRequestError,
    ErrorBody,
    NoSuchThingError,
    RateLimitError,
    TooLargeError,
    UnavailableError,
    UnknownKeyError,
)
from slacktide.api.routing import FormField, Route

VERSION = "3.1.0"  # of OpenAPI
_NAME = re.compile(r"\{(\w+)\}")
_SCHEMAS = "#/components/schemas/{name}"
ANY_CALL: tuple[type[ApiError], ...] = (BadRequestError, UnknownKeyError, RateLimitError, UnavailableError)


def describe_api(version: str) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": VERSION,
        "info": {
            "title": "Slacktide",
            "version": version,
            "summary": "An LLM Batch API in your own AWS account",
            "description": "Together's dialect below `/v1`, OpenAI's below `/openai/v1`; both are the same service.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "{api_url}", "variables": {"api_url": {"default": "https://example.com/prod"}}}],
        "security": [{"key": []}],
        "tags": [{"name": name} for name in ("together", "openai")],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "`slacktide keys create` makes one."}},
            "schemas": _components(),
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    dialect = "openai" if route.path.startswith(openai.ROOT) else "together"
    operation: dict[str, Any] = {
        "operationId": f"{dialect}_{route.handler.__name__}",
        "tags": [dialect],
        "summary": route.summary,
        "description": (route.handler.__doc__ or "").strip(),
        "parameters": [_parameter(name, "path", is_required=True) for name in _NAME.findall(route.path)]
        + [_parameter(name, "query", text, is_required=False) for name, text in route.query.items()],
        "responses": {str(int(route.status)): _answer(route)} | {str(int(one.status)): _error(one) for one in _errors(route)},
    }
    if route.body is not None:
        is_required = any(field.required for field in msgspec.structs.fields(route.body))
        content = {"application/json": {"schema": _schemas()[0][route.body]}}
        operation["requestBody"] = {"required": is_required, "content": content}
    if route.form:
        operation["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": _form(route.form)}}}
    return operation


def _parameter(name: str, place: str, description: str | None = None, *, is_required: bool) -> dict[str, Any]:
    described = {} if description is None else {"description": description}
    return {"name": name, "in": place, "required": is_required, "schema": {"type": "string"}, **described}


def _answer(route: Route) -> dict[str, Any]:
    if route.answer is None:
        location = {"Location": {"description": "A presigned URL.", "schema": {"type": "string"}}}
        return {"description": "Where it is.", "headers": location}
    return {"description": "Done.", "content": {"application/json": {"schema": _schemas()[0][route.answer]}}}


def _errors(route: Route) -> tuple[type[ApiError], ...]:
    more = (NoSuchThingError,) if _names_something(route) else ()
    return (*ANY_CALL, *more, *((TooLargeError,) if route.form or route.body else ()))


def _names_something(route: Route) -> bool:
    """Whether the path or the body has the id of a thing that may not be there."""
    fields = () if route.body is None else msgspec.structs.fields(route.body)
    return bool(_NAME.search(route.path)) or any(field.name.endswith("file_id") for field in fields)


def _error(kind: type[ApiError]) -> dict[str, Any]:
    return {"description": kind.__doc__, "content": {"application/json": {"schema": _schemas()[0][ErrorBody]}}}


def _form(fields: tuple[FormField, ...]) -> dict[str, Any]:
    content = {"type": "string", "contentMediaType": "application/octet-stream"}
    properties = {
        field.name: {**(content if field.is_file else {"type": "string"}), "description": field.description} for field in fields
    }
    return {"type": "object", "properties": properties, "required": [field.name for field in fields if field.is_required]}


@cache
def _schemas() -> tuple[Mapping[Any, dict[str, Any]], dict[str, Any]]:
    """The schema of each type that a call takes or answers, and those that they refer to, by name."""
    types = list(dict.fromkeys([kind for route in ROUTES for kind in (route.answer, route.body) if kind is not None]))
    schemas, components = msgspec.json.schema_components([*types, ErrorBody], ref_template=_SCHEMAS)
    return dict(zip([*types, ErrorBody], schemas, strict=True)), components


def _components() -> dict[str, Any]:
    return dict(sorted(_schemas()[1].items()))


def main() -> None:
    """Print the document."""
    document = describe_api(version("slacktide"))
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


if __name__ == "__main__":
    main()
