"""Queries of closed bars, with the open one as the marked last row."""

from __future__ import annotations

from typing import Final

from grafana.flux import (
    BARS,
    SINCE_START,
    THIS_INTERVAL,
    THIS_SYMBOL,
    TICKS,
    WIDE,
    group,
    keep,
    newest_bars,
    pipe,
    script,
    sort,
)

# More than a screen can show; a range of days must not read a million 1s bars.
SHOWN_BARS: Final = 2000
NO_BARS: Final = "No bars of this interval in this time range: choose a longer range or a shorter interval"


def with_open_bar(*parts: tuple[str, str], mark: str = "") -> str:
    """A wide table of bars; the last row is the open bar if it is newer than the last closed one.

    Args:
        parts: (measurement, condition on its fields), e.g. ("indicator", 'r._field == "momentum_rsi"').
        mark: a column whose value the open bar alone repeats as `open bar`.
    """
    closed = " or ".join(f'(r._measurement == "{name}" and {condition})' for name, condition in parts)
    live = " or ".join(f'(r._measurement == "{name}_live" and {condition})' for name, condition in parts)
    return script(
        newest_bars(SHOWN_BARS),
        "closed = "
        + pipe(
            f"from(bucket: {BARS})",
            SINCE_START,
            f"filter(fn: (r) => {THIS_SYMBOL} and {THIS_INTERVAL} and ({closed}))",
            keep("_time", "_field", "_value"),
            group(),
            WIDE,
            'set(key: "state", value: "closed")',
        ),
        "live = "
        + pipe(
            f"from(bucket: {TICKS})",
            SINCE_START,
            f"filter(fn: (r) => {THIS_SYMBOL} and {THIS_INTERVAL} and ({live}))",
            "last()",
            keep("_time", "_field", "_value"),
            group(),
            WIDE,
            *([f'duplicate(column: "{mark}", as: "open bar")'] if mark else []),
            'set(key: "state", value: "open")',
        ),
        pipe(
            "union(tables: [closed, live])",
            group(),
            sort("_time", "state"),
            # A bar that was just closed is in both: "closed" comes before "open".
            'unique(column: "_time")',
            'drop(columns: ["state"])',
        ),
    )
