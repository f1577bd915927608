"""Pieces of Flux that panels share.

Grafana makes a label of each column in the group key and a column of the frame of each other one, so each
query ends in `group` and `keep`; it would expand any `word.bucket` as a macro.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# The stack's buckets: `market` has no expiry, `ticks` keeps seven days (DESIGN §4.3).
MARKET: Final = '"market"'
TICKS: Final = '"ticks"'
# The bucket of bars of the chosen interval; `BARS_IN` defines it.
BARS: Final = "bars"
BARS_IN: Final = 'bars = if "${interval}" == "1s" then "ticks" else "market"'

THIS_SYMBOL: Final = 'r.exchange == "${exchange}" and r.symbol == "${symbol}"'
THIS_EXCHANGE: Final = 'r.exchange == "${exchange}"'
# As regular expressions, in which Grafana escapes the slash of a symbol too.
OF_EXCHANGES: Final = "r.exchange =~ /^${exchanges:regex}$/"
OF_SYMBOLS: Final = "r.symbol =~ /^${symbols:regex}$/"
THIS_INTERVAL: Final = 'r.interval == "${interval}"'

SHOWN: Final = "range(start: v.timeRangeStart, stop: v.timeRangeStop)"
# Seconds from a row's time to the end of the shown range: to now, unless the range ends in the past.
AGE_S: Final = "float(v: int(v: v.timeRangeStop) - int(v: r._time)) / 1000000000.0"


def pipe(*steps: str) -> str:
    """Steps joined by `|>`, one a line."""
    return "\n  |> ".join(steps)


def script(*statements: str) -> str:
    """Statements, one a line."""
    return "\n".join(statements)


def any_of(column: str, values: Sequence[str]) -> str:
    """A condition that is evaluated in the store, unlike `contains`."""
    return "(" + " or ".join(f'r.{column} == "{value}"' for value in values) + ")"


def read(
    source: str, measurement: str, fields: Sequence[str], *conditions: str, span: str = SHOWN
) -> tuple[str, ...]:
    """The first steps of a query: bucket, range, filter.

    Args:
        source: `MARKET`, `TICKS` or `BARS`.
        fields: empty for all.
        span: the `range` step; the dashboard's by default.
    """
    where = [
        f'r._measurement == "{measurement}"',
        *([any_of("_field", fields)] if fields else []),
        *conditions,
    ]
    return (f"from(bucket: {source})", span, f"filter(fn: (r) => {' and '.join(where)})")


def windows(function: str) -> str:
    """One value a window, at its start as for bars; none for empty windows."""
    return f'aggregateWindow(every: v.windowPeriod, fn: {function}, createEmpty: false, timeSrc: "_start")'


def keep(*columns: str) -> str:
    return f"keep(columns: {_list(columns)})"


def pivot(*row_key: str, along: str = "_field") -> str:
    """One row for each `row_key`, with a column for each value of `along`."""
    return f'pivot(rowKey: {_list(row_key)}, columnKey: ["{along}"], valueColumn: "_value")'


def group(*columns: str) -> str:
    return f"group(columns: {_list(columns)})" if columns else "group()"


def sort(*columns: str, descending: bool = False) -> str:
    return f"sort(columns: {_list(columns)}{', desc: true' if descending else ''})"


def _list(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


WIDE: Final = pivot("_time")


def with_columns(**values: str) -> str:
    """A `map` that adds columns, or replaces them."""
    return (
        "map(fn: (r) => ({r with " + ", ".join(f"{name}: {value}" for name, value in values.items()) + "}))"
    )


def frame(*columns: str) -> tuple[str, str, str]:
    """The last steps of a query for one table, in order of time."""
    return group(), keep("_time", *columns), sort("_time")


def series(*labels: str) -> tuple[str, str]:
    """The last steps of a query for one series per value of `labels`."""
    return group(*labels), keep("_time", "_value", *labels)


def newest_bars(count: int) -> str:
    """Defines `BARS`, and `start` so that at most `count` bars are read."""
    return script(BARS_IN, newest(f"{count} * int(v: ${{interval}})"))


def newest(nanoseconds: str) -> str:
    """Defines `start`: the dashboard's, or later, so that at most this span is read."""
    return script(
        f"earliest = int(v: v.timeRangeStop) - {nanoseconds}",
        "start = if int(v: v.timeRangeStart) > earliest then v.timeRangeStart else time(v: earliest)",
    )


def before(duration: str, until: str = "0s") -> str:
    """A `range` step: from `duration` to `until` before the end of the shown range, whatever its start."""
    stop = "v.timeRangeStop" if until == "0s" else _earlier("v.timeRangeStop", until)
    return f"range(start: {_earlier('v.timeRangeStop', duration)}, stop: {stop})"


def _earlier(time: str, duration: str) -> str:
    return f"time(v: int(v: {time}) - int(v: {duration}))"


# Rounds computed values to seven digits; begins a script. For a few rows only: a call takes InfluxDB a third
# of a millisecond, so a chart of 2,000 bars keeps all digits.
SIGNIFICANT: Final = script(
    'import "math"',
    "significant = (x) => {",
    "    size = if x == 0.0 then 0.0 else math.floor(x: math.log10(x: math.abs(x: x)))",
    "    factor = if size > 6.0 then 1.0 else math.pow10(n: 6 - int(v: size))",
    "    return math.round(x: x * factor) / factor",
    "}",
)
SINCE_START: Final = "range(start: start, stop: v.timeRangeStop)"
