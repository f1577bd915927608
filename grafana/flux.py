"""Pieces of Flux that several panels share.

Two rules of Grafana's are kept everywhere: what is in the group key becomes a label, all else a column of the
frame (so each query ends in `group` and `keep`), and any `word.bucket` would be taken for a macro.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# The stack's buckets: `market` has no expiry, `ticks` keeps seven days (DESIGN §4.3).
MARKET: Final = '"market"'
TICKS: Final = '"ticks"'
# Where bars of the chosen interval live; `BARS_IN` must stand before it is used.
BARS: Final = "bars"
BARS_IN: Final = 'bars = if "${interval}" == "1s" then "ticks" else "market"'

THIS_SYMBOL: Final = 'r.exchange == "${exchange}" and r.symbol == "${symbol}"'
THIS_EXCHANGE: Final = 'r.exchange == "${exchange}"'
THIS_INTERVAL: Final = 'r.interval == "${interval}"'

SHOWN: Final = "range(start: v.timeRangeStart, stop: v.timeRangeStop)"
WIDE: Final = 'pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
# Seconds from a row's time to the end of what is shown: to now, unless someone looks into the past.
AGE_S: Final = "float(v: int(v: v.timeRangeStop) - int(v: r._time)) / 1000000000.0"


def pipe(*steps: str) -> str:
    """Steps joined by `|>`, one a line."""
    return "\n  |> ".join(steps)


def script(*statements: str) -> str:
    """Statements, one after the other."""
    return "\n".join(statements)


def any_of(column: str, values: Sequence[str]) -> str:
    """A condition that the store itself decides, unlike `contains`."""
    return "(" + " or ".join(f'r.{column} == "{value}"' for value in values) + ")"


def read(
    source: str, measurement: str, fields: Sequence[str], *conditions: str, span: str = SHOWN
) -> tuple[str, ...]:
    """The first steps of a query: which points.

    Args:
        source: a bucket: `MARKET`, `TICKS` or `BARS`.
        fields: none for all of them.
        span: the `range` step; that of the dashboard by default.
    """
    where = [
        f'r._measurement == "{measurement}"',
        *([any_of("_field", fields)] if fields else []),
        *conditions,
    ]
    return (f"from(bucket: {source})", span, f"filter(fn: (r) => {' and '.join(where)})")


def windows(function: str) -> str:
    """One value a window, at its start as bars are; windows without points have none."""
    return f'aggregateWindow(every: v.windowPeriod, fn: {function}, createEmpty: false, timeSrc: "_start")'


def keep(*columns: str) -> str:
    return "keep(columns: [" + ", ".join(f'"{column}"' for column in columns) + "])"


def group(*columns: str) -> str:
    return (
        "group(columns: [" + ", ".join(f'"{column}"' for column in columns) + "])" if columns else "group()"
    )


def sort(*columns: str, descending: bool = False) -> str:
    named = ", ".join(f'"{column}"' for column in columns)
    return f"sort(columns: [{named}]{', desc: true' if descending else ''})"


def with_columns(**values: str) -> str:
    """A `map` that adds columns, or replaces them."""
    return (
        "map(fn: (r) => ({r with " + ", ".join(f"{name}: {value}" for name, value in values.items()) + "}))"
    )


def frame(*columns: str) -> tuple[str, str, str]:
    """The last steps of a query whose answer is one table, in the order of time."""
    return group(), keep("_time", *columns), sort("_time")


def series(*labels: str) -> tuple[str, str]:
    """The last steps of a query with one series for each value of `labels`."""
    return group(*labels), keep("_time", "_value", *labels)


def newest_bars(count: int) -> str:
    """`start`: that of the dashboard, or later, so that no more than `count` bars are read."""
    return script(
        f"earliest = int(v: v.timeRangeStop) - {count} * int(v: ${{interval}})",
        "start = if int(v: v.timeRangeStart) > earliest then v.timeRangeStart else time(v: earliest)",
    )


def newest(seconds: str) -> str:
    """`start`: that of the dashboard, or later, so that no more than this span (a duration) is read."""
    return script(
        f"earliest = int(v: v.timeRangeStop) - int(v: {seconds})",
        "start = if int(v: v.timeRangeStart) > earliest then v.timeRangeStart else time(v: earliest)",
    )


def before(duration: str, until: str = "0s") -> str:
    """A `range` step: from `duration` to `until` before the end of what is shown, whatever its start."""
    stop = "v.timeRangeStop" if until == "0s" else _earlier("v.timeRangeStop", until)
    return f"range(start: {_earlier('v.timeRangeStop', duration)}, stop: {stop})"


def _earlier(time: str, duration: str) -> str:
    return f"time(v: int(v: {time}) - int(v: {duration}))"


# Seven digits of what is computed, all that a person reads, at whatever size; begins a script. For a few rows
# alone: a call of it takes InfluxDB a third of a millisecond, so a chart of 2,000 bars keeps all its digits.
SIGNIFICANT: Final = script(
    'import "math"',
    "significant = (x) => {",
    "    size = if x == 0.0 then 0.0 else math.floor(x: math.log10(x: math.abs(x: x)))",
    "    factor = if size > 6.0 then 1.0 else math.pow10(n: 6 - int(v: size))",
    "    return math.round(x: x * factor) / factor",
    "}",
)
SINCE_START: Final = "range(start: start, stop: v.timeRangeStop)"
