"""Requests checked against botocore's own model of the API: types, required and unknown members, lengths, ranges,
patterns, enums.

botocore checks no maximum, pattern or enum on the client's side, and so the service does; the messages are worded as
AWS's.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

from slacktide_local.sagemaker.errors import validation


@cache
def load_service() -> ServiceModel:
    """The model of the SageMaker API that comes with botocore."""
    return botocore.session.get_session().get_service_model("sagemaker")


def check_shape(action: str, request: Mapping[str, Any]) -> None:
    """Refuse a request that does not fit the action's input shape, with ValidationException."""
    shape = load_service().operation_model(action).input_shape
    if shape is None:
        return
    report = ParamValidator().validate(dict(request), shape)
    if report.has_errors():
        raise validation(report.generate_report())
    broken = list(_find_broken(shape, request, path=""))
    if broken:
        count = f"{len(broken)} validation error{'s' if len(broken) > 1 else ''} detected: "
        raise validation(count + "; ".join(broken))


def _find_broken(shape: Any, value: Any, *, path: str) -> Iterator[str]:
    """The constraints of `shape` and of its members that `value` breaks, one sentence each."""
    yield from _find_broken_here(shape, value, path)
    if shape.type_name == "structure":
        for name, member in value.items():
            step = name[:1].lower() + name[1:]
            yield from _find_broken(shape.members[name], member, path=f"{path}.{step}" if path else step)
    elif shape.type_name == "list":
        for number, member in enumerate(value, start=1):
            yield from _find_broken(shape.member, member, path=f"{path}.{number}.member")
    elif shape.type_name == "map":
        for key, member in value.items():
            yield from _find_broken(shape.key, key, path=f"{path}.key")
            yield from _find_broken(shape.value, member, path=f"{path}.{key}.value")


def _find_broken_here(shape: Shape, value: Any, path: str) -> Iterator[str]:
    # A member of a map is not echoed: an environment can hold secrets.
    shown = f"Value '{value}'" if isinstance(value, (str, int)) and not path.endswith(".value") else "Value"
    failed = f"{shown} at '{path}' failed to satisfy constraint: Member must"
    rules: Mapping[str, Any] = shape.metadata  # pyright: ignore[reportAssignmentType] - botocore's cached property
    limit, pattern, allowed = rules.get("max"), rules.get("pattern"), rules.get("enum")
    if limit is not None and isinstance(value, int) and value > limit:
        yield f"{failed} have value less than or equal to {limit}"
    if limit is not None and not isinstance(value, int) and len(value) > limit:
        yield f"{failed} have length less than or equal to {limit}"
    # Python's re knows no \p{…}; only tags use it.
    if pattern and "\\p{" not in pattern and not re.fullmatch(pattern, str(value)):
        yield f"{failed} satisfy regular expression pattern: {pattern}"
    if allowed and value not in allowed:
        yield f"{failed} satisfy enum value set: [{', '.join(allowed)}]"
