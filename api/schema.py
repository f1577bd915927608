"""OpenAPI, derived from the table of measurements: rows, their parameters, answers and problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api.models import Rows
from api.problems import MEDIA_TYPE
from api.rows_request import MEDIA_TYPES, PAGE_ROWS
from consumers.tap.series import LiveKind
from shared.intervals import INTERVAL_MS

Schema = dict[str, Any]
Answers = dict[int | str, dict[str, Any]]

_PROBLEM: Final[Schema] = {
    "type": "object",
    "description": "RFC 9457; `detail` names the thing and the way out",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
_CURSOR: Final = r"^[0-9]{1,18}\.[0-9]{1,18}$"
# Milliseconds have nine digits at least: eight are a date.
TIME: Final[Schema] = {
    "anyOf": [
        {"type": "integer", "minimum": 100_000_000, "maximum": 9_223_372_036_854},
        {"type": "string", "format": "date-time"},
    ],
    "examples": ["2026-08-03T14:25", 1_785_767_100_000],
}
_STATUSES: Final = {
    "401": "no token, or a wrong one",
    "403": "Host or Origin is not ours",
    "404": "there is no such thing at that time",
    "406": "no such format",
    "414": "longer than 4 kB",
    "422": "a parameter cannot be used",
    "500": "an error of ours",
    "503": "the store, the broker or a free place is away; `Retry-After` says when to ask again",
}
_VALUE: Final[dict[str, Schema]] = {
    "float": {"type": ["number", "null"], "format": "double"},
    "int": {"type": ["integer", "null"], "format": "int64"},
    "bool": {"type": ["boolean", "null"]},
    "string": {"type": ["string", "null"]},
    "levels": {
        "type": ["array", "null"],
        "description": "price and quantity of each level, best first",
        "items": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
    },
}
_TAG_TEXT: Final = {
    "exchange": "like binance",
    "symbol": "like BTCUSDC",
    "interval": "of bars; empty where there is none",
}


def row_name(kind: LiveKind) -> str:
    """The schema's name of a kind's rows, like KlineRow."""
    return "".join(part.capitalize() for part in kind.name.split("_")) + "Row"


def row_schema(kind: LiveKind) -> Schema:
    """A row of the stream or the store as an object; on the wire it is an array in the order of columns.

    `x-tags`, `x-columns` and `x-delivery` are the table's, for what is generated from this.
    """
    tags: dict[str, Schema] = {tag: {"type": "string"} for tag in kind.tags}
    columns = {column.name: _VALUE[column.type] for column in kind.columns}
    return {
        "type": "object",
        "description": f"{kind.name}, delivered as {kind.delivery}",
        "properties": {"time_ms": {"type": "integer", "format": "int64"}, **tags, **columns},
        "required": ["time_ms", *tags, *columns],
        "x-series": kind.name,
        "x-tags": list(kind.tags),
        "x-columns": [{"name": column.name, "type": column.type} for column in kind.columns],
        "x-delivery": kind.delivery,
    }


def described(openapi: Schema, kinds: Mapping[str, LiveKind]) -> Schema:
    """The framework's description, with what it does not know: rows of every kind, problems, the token."""
    schemas = openapi.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas.update({row_name(kind): row_schema(kind) for kind in kinds.values()})
    schemas["SeriesName"] = {"type": "string", "enum": list(kinds)}
    schemas["ColumnType"] = {"type": "string", "enum": [*_VALUE, "decimal"]}
    schemas["Rows"] = Rows.model_json_schema()
    schemas["Problem"] = _PROBLEM
    openapi["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    openapi["security"] = [{}, {"token": []}]
    return openapi


def tag_parameters(kind: LiveKind) -> list[Schema]:
    return [
        parameter(tag, {"type": "string", "maxLength": 100}, _TAG_TEXT.get(tag, f"{tag} of the rows"))
        if tag != "interval"
        else parameter(tag, {"type": "string", "enum": ["", *INTERVAL_MS]}, _TAG_TEXT[tag])
        for tag in kind.tags
    ]


def rows_parameters(kind: LiveKind) -> list[Schema]:
    """Parameters of a kind's rows."""
    names = [column.name for column in kind.columns]
    return [
        *tag_parameters(kind),
        parameter("from", TIME, "first time, ISO 8601 (UTC) or ms since the epoch"),
        parameter("to", TIME, "end, itself not included"),
        parameter(
            "last",
            {"type": "integer", "minimum": 1, "maximum": PAGE_ROWS},
            "only so many of the newest of each series (500 if no span is given)",
        ),
        {
            **parameter(
                "columns",
                {"type": "array", "items": {"type": "string", "enum": names}, "minItems": 1},
                "only these, comma-separated",
            ),
            "style": "form",
            "explode": False,
        },
        parameter(
            "cursor",
            {"type": "string", "pattern": _CURSOR},
            "`next` of the page before",
        ),
        parameter(
            "exact",
            {"type": "string", "enum": ["0", "1"]},
            "1: the exchange's decimal strings, where the topic has them",
        ),
    ]


def rows_answers(kind: LiveKind) -> Answers:
    """Answers of a kind's rows."""
    text = f"columns and types of each value of `rows`; {row_name(kind)} has them by name"
    ok: Schema = {
        "description": text,
        "content": {
            MEDIA_TYPES["json"]: {"schema": {"$ref": "#/components/schemas/Rows"}},
            MEDIA_TYPES["ndjson"]: {"schema": {"type": "string"}},
            MEDIA_TYPES["csv"]: {"schema": {"type": "string"}},
        },
    }
    unchanged = {"description": "as If-None-Match says"}
    return {"200": ok, "304": unchanged, **problems("401", "403", "406", "414", "422", "503")}


def problems(*statuses: str) -> Answers:
    """Answers that are problems."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _STATUSES[status], "content": content} for status in statuses}


def parameter(name: str, schema: Schema, description: str, *, required: bool = False) -> Schema:
    """A parameter of a query string."""
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": description}
