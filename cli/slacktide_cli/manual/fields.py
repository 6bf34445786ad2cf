"""The fields of a JSON document as a table, read off its type: names, types, and what they mean."""

from collections.abc import Iterator

import msgspec
from msgspec import inspect

from slacktide.batch import Failure
from slacktide.estimating import Alternative, BackendCost, Estimate, GroupEstimate, Range, Tokens
from slacktide.models import Tokenizer, Upstream, Upstreams, Weights
from slacktide.prices import Price, Terms
from slacktide.receipts import Costs, Entry, UnitPrice
from slacktide_cli.answers import ApiBatch, ApiFault, ApiFaults, ApiFile, ApiPart, ApiUsage
from slacktide_cli.costs import Row
from slacktide_cli.documents import Counts, Problem, ResultFile, Wait
from slacktide_cli.preflight import GroupCount
from slacktide_cli.reports import FaultDocument, FileDocument
from slacktide_cli.verbs.download import DownloadedPart
from slacktide_cli.verbs.keys import KeyDocument
from slacktide_cli.verbs.limits import UsageDocument
from slacktide_cli.verbs.models import FitDocument

# Types that have a table of their own, or are told in so many words.
TABLES: dict[type, str] = {
    ApiBatch: "batch",
    ApiFile: "file",
    ApiPart: "part",
    KeyDocument: "key",
    FileDocument: "checked file",
    Estimate: "file estimate",
    GroupEstimate: "group estimate",
    BackendCost: "backend estimate",
    Upstream: "place of a model",
    Terms: "set of terms",
    Costs: "batch cost",
    Entry: "receipt entry",
    UnitPrice: "unit price",
    Row: "row of costs",
}
_INLINE: tuple[type, ...] = (
    ApiFault,
    ApiFaults,
    ApiUsage,
    Counts,
    Problem,
    Failure,
    ResultFile,
    Wait,
    UsageDocument,
    GroupCount,
    FaultDocument,
    DownloadedPart,
    Alternative,
    Range,
    Tokens,
    FitDocument,
    Upstreams,
    Weights,
    Tokenizer,
    Price,
)
# Types whose fields are all of one type, which has a table of its own.
_EACH: dict[type, type] = {Upstreams: Upstream}
_PLAIN: dict[type[inspect.Type], str] = {
    inspect.StrType: "text",
    inspect.IntType: "number",
    inspect.FloatType: "number",
    inspect.BoolType: "true or false",
    inspect.NoneType: "null",
    inspect.RawType: "object",
    inspect.DictType: "object",
    inspect.LiteralType: "text",
    inspect.DecimalType: "text",  # JSON's numbers are not exact
    inspect.DateType: "text",
}
_VERSION = "the version of this document; fields may be added to it without a new one"


def render_fields(kind: type[msgspec.Struct]) -> Iterator[str]:
    """The table of a type, one line after the other."""
    yield "| field | | meaning |"
    yield "|---|---|---|"
    for field in describe_struct(kind).fields:
        description, inner = unwrap(field.type)
        meaning = _VERSION if field.name == "v" else description
        yield f"| `{field.encode_name}` | {name_type(inner)} | {meaning} |"


def describe_struct(kind: type[msgspec.Struct]) -> inspect.StructType:
    """What msgspec knows of a type."""
    info = inspect.type_info(kind)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{kind} is no document")
    return info


def unwrap(info: inspect.Type) -> tuple[str, inspect.Type]:
    """The description of a field, and its type without it."""
    if isinstance(info, inspect.Metadata):
        return (info.extra_json_schema or {}).get("description", ""), info.type
    return "", info


def name_type(info: inspect.Type) -> str:
    """A type in words."""
    _, info = unwrap(info)
    if isinstance(info, inspect.UnionType):
        return " or ".join(name_type(member) for member in info.types)
    if isinstance(info, inspect.ListType):
        return f"list of {name_type(info.item_type)}"
    if isinstance(info, inspect.EnumType):
        return "text"
    if isinstance(info, inspect.StructType | inspect.DataclassType):
        return _name_struct(info)
    return _PLAIN[type(info)]


def _name_struct(info: inspect.StructType | inspect.DataclassType) -> str:
    if info.cls in TABLES:
        return _link(info.cls)
    each = f", each a {_link(_EACH[info.cls])}" if info.cls in _EACH else ""
    return f"`{_sketch(info)}`{each}"


def _link(kind: type) -> str:
    name = TABLES[kind]
    return f"[{name}](#a-{name.replace(' ', '-')})"


def _sketch(info: inspect.StructType | inspect.DataclassType) -> str:
    """The names of the fields of a small type, those of lists in it too."""
    if info.cls not in _INLINE:
        raise TypeError(f"say how the manual is to name {info.cls}")
    return "{" + ", ".join(map(_sketch_field, info.fields)) + "}"


def _sketch_field(field: inspect.Field) -> str:
    _, inner = unwrap(field.type)
    if isinstance(inner, inspect.ListType) and isinstance(inner.item_type, inspect.StructType):
        return f"{field.encode_name}: [{_sketch(inner.item_type)}]"
    return field.encode_name
