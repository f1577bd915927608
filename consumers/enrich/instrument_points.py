"""What producers tell of their instruments in messages of `pipeline.metrics` → `instrument` points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from consumers.arrival import MAX_TIME_MS
from consumers.measurements import INSTRUMENT, Point, SeriesByTags, Value
from shared.errors import InvalidMessage
from shared.message_checks import is_decimal

_LONGEST_WORD: Final = 200


def require_instruments(told: object) -> None:
    """Raise InvalidMessage unless it is a list of instruments; other fields of them are ignored."""
    if type(told) is not list or not all(type(each) is dict for each in told):
        raise InvalidMessage("instruments", told, "a list of objects")
    for each in told:
        for name in INSTRUMENT.tags:
            word = each.get(name)
            if not word or not _is_word(word):
                raise InvalidMessage(name, word, f"a name of 1 to {_LONGEST_WORD} characters")
        since_ms = each.get("since_ms")
        if type(since_ms) is not int or not 0 <= since_ms <= MAX_TIME_MS:
            raise InvalidMessage("since_ms", since_ms, "a time in milliseconds")
        for column in INSTRUMENT.columns:
            value = each.get(column.name)
            if value is None:
                continue
            if column.type == "string" and not _is_word(value):
                raise InvalidMessage(column.name, value, f"up to {_LONGEST_WORD} characters, or null")
            if column.type == "float" and not (type(value) is str and is_decimal(value)):
                raise InvalidMessage(column.name, value, "a decimal number in a string, or null")


def _is_word(value: object) -> bool:
    return type(value) is str and len(value) <= _LONGEST_WORD and (not value or value.isprintable())


def instrument_points(told: Iterable[Mapping[str, Any]], series: SeriesByTags) -> list[Point]:
    """A point of each.

    Args:
        told: as `require_instruments` lets it pass.
        series: of INSTRUMENT.
    """
    return [
        Point(
            series[tuple(each[name] for name in INSTRUMENT.tags)],
            each["since_ms"] * 1_000_000,
            tuple(_value(column.type, each.get(column.name)) for column in INSTRUMENT.columns),
        )
        for each in told
    ]


def _value(type_: str, said: str | None) -> Value:
    return float(said) if type_ == "float" and said is not None else said
