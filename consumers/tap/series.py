"""Series that viewers can follow: all measurements, and two that are computed for them and not stored.

Names, columns and types on the wire are derived from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from consumers.measurements import INDICATOR, INDICATOR_LIVE, KLINE_LIVE, MEASUREMENTS, Delivery, Measurement

ColumnType = Literal["float", "int", "bool", "string", "levels"]
# Price and quantity of each level, best first.
Levels = list[tuple[float, float]]
Value = float | int | bool | str | None | Levels


class LiveColumn(NamedTuple):
    name: str
    type: ColumnType


@dataclass(frozen=True, slots=True)
class LiveKind:
    """A kind of series, in the shape of `Measurement`; (tags, time) is a row's identity."""

    name: str
    tags: tuple[str, ...]
    columns: tuple[LiveColumn, ...]
    delivery: Delivery


class LiveSeries(NamedTuple):
    """A series: the name of its kind, and a value of each of the kind's tags, in order."""

    name: str
    tags: tuple[str, ...]


def _of(measurement: Measurement, name: str = "") -> LiveKind:
    columns = tuple(LiveColumn(column.name, column.type) for column in measurement.columns)
    return LiveKind(name or measurement.name, measurement.tags, columns, measurement.delivery)


# The exchange's last update of the open bar with all trades since.
OPEN_BAR: Final = _of(KLINE_LIVE, "open_bar")
# The order book as its topic has it.
LEVELS: Final = LiveKind(
    "levels",
    ("exchange", "symbol"),
    (
        LiveColumn("update_id", "int"),
        LiveColumn("synced", "bool"),
        LiveColumn("bids", "levels"),
        LiveColumn("asks", "levels"),
    ),
    "latest",
)


def live_kinds(indicators: tuple[str, ...]) -> dict[str, LiveKind]:
    """All kinds by name.

    Args:
        indicators: columns of the indicators in use.
    """
    open_columns = {each.name: each.with_columns(indicators) for each in (INDICATOR, INDICATOR_LIVE)}
    measurements = {name: open_columns.get(name, each) for name, each in MEASUREMENTS.items()}
    return {name: _of(each) for name, each in measurements.items()} | {
        OPEN_BAR.name: OPEN_BAR,
        LEVELS.name: LEVELS,
    }
