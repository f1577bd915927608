"""A request for rows: its parameters, checked against the table of measurements. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Literal

from api.problems import Problem, wrong
from api.tags import stored_tag
from consumers.tap.series import LiveKind
from shared.shortened import quoted
from shared.times import parse_time_ns

Format = Literal["json", "csv", "ndjson"]
MEDIA_TYPES: Final[dict[Format, str]] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
}

# Rows of a JSON answer; the rest is for `next`, or for a stream.
PAGE_ROWS: Final = 50_000
STREAM_ROWS: Final = 1_000_000
DEFAULT_LAST: Final = 500
_MOST_DIGITS: Final = 19
# Parameters of every kind of row, besides its tags.
SPAN: Final = ("from", "to", "last", "columns", "cursor", "exact")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a further page begins: at `time_ns`, after so many rows of that same time."""

    time_ns: int
    skip: int

    def __str__(self) -> str:
        return f"{self.time_ns}.{self.skip}"


@dataclass(frozen=True, slots=True)
class RowsRequest:
    """Attributes:
    tags: those given.
    from_ns: inclusive. to_ns: exclusive.
    last: only so many of the newest of each series.
    fields: those asked for, in the order asked.
    skip: rows of the time `from_ns` that an earlier page had.
    exact: the exchange's decimal strings instead of float64, where the topic has them.
    """

    kind: LiveKind
    tags: dict[str, str]
    from_ns: int | None
    to_ns: int | None
    last: int | None
    fields: tuple[str, ...]
    skip: int = 0
    exact: bool = False

    @property
    def open_tags(self) -> tuple[str, ...]:
        """The tags that the request leaves open; rows name them."""
        return tuple(tag for tag in self.kind.tags if tag not in self.tags)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of a row's values."""
        return ("time_ms", *self.open_tags, *self.fields)

    @property
    def types(self) -> tuple[str, ...]:
        """Types of a row's values."""
        typed: dict[str, str] = {column.name: column.type for column in self.kind.columns}
        if self.exact:
            typed |= {name: "decimal" for name, type_ in typed.items() if type_ == "float"}
        return ("int", *("string" for _ in self.open_tags), *(typed[name] for name in self.fields))


def read_rows_request(kind: LiveKind, given: Iterable[tuple[str, str]]) -> RowsRequest:
    """The request of a query string.

    Raises:
        Problem: names the parameter and what it may be.
    """
    known = (*kind.tags, *SPAN)
    values = single_values(given, known)
    cursor = _cursor(values.get("cursor"))
    from_ns, to_ns = read_time("from", values.get("from")), read_time("to", values.get("to"))
    last = _last(values.get("last"))
    if cursor is not None:
        if from_ns is not None or last is not None:
            raise wrong("cursor", "goes on with a request by itself; leave `from` and `last` out")
        from_ns = cursor.time_ns
    if from_ns is not None and to_ns is not None and from_ns >= to_ns and cursor is None:
        raise wrong("from", "is not before `to`; swap them")
    if from_ns is None and to_ns is None and last is None:
        last = DEFAULT_LAST
    return RowsRequest(
        kind,
        {tag: read_tag(tag, values[tag]) for tag in kind.tags if tag in values},
        from_ns,
        to_ns,
        last,
        _fields(kind, values.get("columns")),
        cursor.skip if cursor is not None else 0,
        _flag("exact", values.get("exact")),
    )


def single_values(given: Iterable[tuple[str, str]], known: tuple[str, ...]) -> dict[str, str]:
    """Each parameter's value. Raises Problem for one that is unknown or given twice."""
    values: dict[str, str] = {}
    for name, value in given:
        if name not in known:
            choice = f"choose from {', '.join(known)}" if known else "this takes none, leave it out"
            raise wrong(quoted(name), f"is no parameter here; {choice}")
        if name in values:
            raise wrong(name, "is given twice; give it once")
        values[name] = value
    return values


def read_tag(tag: str, value: str) -> str:
    """A tag's value, in the case in which it is stored. Raises Problem."""
    try:
        return stored_tag(tag, value)
    except ValueError as error:
        raise wrong(tag, str(error)) from None


def read_time(name: str, text: str | None) -> int | None:
    """A time in nanoseconds. Raises Problem."""
    if text is None:
        return None
    try:
        return parse_time_ns(text)
    except ValueError as error:
        raise wrong(name, str(error)) from None


def wanted_format(accept: str | None) -> Format:
    """The format of the header `Accept`. Raises Problem (406) if it is none of ours."""
    best: tuple[float, Format] | None = None
    for part in (accept or "*/*").split(",")[:20]:
        media, *parameters = (each.strip().lower() for each in part.split(";"))
        quality = _quality(parameters)
        for name, media_type in MEDIA_TYPES.items():
            family = media_type.partition("/")[0]
            if media in (media_type, f"{family}/*", "*/*") and quality > (best[0] if best else 0.0):
                best = quality, name
                break
    if best is None:
        raise Problem(HTTPStatus.NOT_ACCEPTABLE, f"Accept: choose from {', '.join(MEDIA_TYPES.values())}")
    return best[1]


def _quality(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _fields(kind: LiveKind, text: str | None) -> tuple[str, ...]:
    names = tuple(column.name for column in kind.columns)
    if text is None:
        return names
    asked = tuple(dict.fromkeys(text.split(",")))
    for name in asked:
        if name not in names:
            fault = f"{quoted(name)} is no column of {kind.name}; choose from {', '.join(names)}"
            raise wrong("columns", fault)
    return asked


def _last(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > _MOST_DIGITS or not 1 <= int(text) <= PAGE_ROWS:
        raise wrong("last", f"{quoted(text)} is not a count from 1 to {PAGE_ROWS:,}")
    return int(text)


def _cursor(text: str | None) -> Cursor | None:
    if text is None:
        return None
    time_text, _, skip_text = text.partition(".")
    for digits in (time_text, skip_text):
        if not (digits.isascii() and digits.isdigit()) or len(digits) > _MOST_DIGITS:
            raise wrong("cursor", f"{quoted(text)} is not a `next` of an earlier answer; begin by `from`")
    if int(time_text) >= 2**63:
        raise wrong("cursor", f"{quoted(text)} is beyond all times; begin by `from`")
    return Cursor(int(time_text), int(skip_text))


def _flag(name: str, text: str | None) -> bool:
    if text not in (None, "0", "1"):
        raise wrong(name, f"{quoted(text)} is neither 0 nor 1")
    return text == "1"
