"""Reads a point that a consumer described in a dead letter. Pure; whatever the bytes are, they are named."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from consumers.indicators.registry import ALL_COLUMNS
from consumers.measurements import INDICATOR, INDICATOR_LIVE, LEDGER, MEASUREMENTS, TRADE, Point, Series
from consumers.stores.storable import why_tags_are_refused
from shared.errors import InvalidMessage
from shared.intervals import INTERVAL_MS
from shared.shortened import shortened

_LONGEST_NAME: Final = 64
# Indicators with other parameters than their own, like momentum_rsi_21.
_PARAMETERS: Final = re.compile(r"(_[0-9]{1,9})+\Z")


def read_point(value: bytes | None) -> Point:
    """The point that a consumer wrote as JSON; its values are not checked.

    Raises:
        InvalidMessage: the value is not such a point.
    """
    try:
        content = orjson.loads(value or b"")
        measurement = MEASUREMENTS[content["measurement"]]
        fields: dict[str, Any] = dict(content["fields"])
        if measurement in (INDICATOR, INDICATOR_LIVE):
            for name in fields:
                _require_indicator(name)
            measurement = measurement.with_columns(tuple(fields))
        series = Series(measurement, tuple(content["tags"][name] for name in measurement.tags))
        values = tuple(fields.pop(column.name) for column in measurement.columns)
        time_ns = content["time_ns"]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise InvalidMessage("point", value, f"the description of a point ({shortened(error)})") from None
    if fields:
        raise InvalidMessage("point", next(iter(fields)), f"a column of {measurement.name}")
    _require_tags(series)
    if measurement is TRADE and values[0] is None:
        raise InvalidMessage("trade_id")
    return Point(series, time_ns, values)


def _require_indicator(name: object) -> None:
    """A store makes a column of any name: only those of indicators that there are."""
    if not isinstance(name, str) or (
        name not in ALL_COLUMNS and _PARAMETERS.sub("", name) not in ALL_COLUMNS
    ):
        raise InvalidMessage("point", name, "a column of an indicator")


def _require_tags(series: Series) -> None:
    measurement = series.measurement
    reason = why_tags_are_refused(series)
    if reason is not None:
        raise InvalidMessage("point", series.tags, f"storable: {reason}")
    tags = dict(zip(measurement.tags, series.tags, strict=True))
    for name in ("exchange", "symbol"):
        if not 0 < len(tags.get(name, "-")) <= _LONGEST_NAME:
            raise InvalidMessage(name, tags[name], f"a name of 1 to {_LONGEST_NAME} characters")
    if "interval" in tags and tags["interval"] not in INTERVAL_MS and measurement is not LEDGER:
        raise InvalidMessage("interval", tags["interval"], f"one of {', '.join(INTERVAL_MS)}")
