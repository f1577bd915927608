"""A run's rows as lines of text: for the terminal, and for Prefect's artifacts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from pipelines.snapshots.result import RunResult
from pipelines.snapshots.rows import Measure, SnapshotRow

HEADINGS: Final = ("symbol", "status", "last", "24 h %", "bid", "ask", "spread %", "mean of 5", "why")
RIGHT: Final = ("last", "24 h %", "bid", "ask", "spread %", "mean of 5")
_BARS: Final = "▁▂▃▄▅▆▇█"


def lines_of(rows: Sequence[SnapshotRow]) -> list[list[str]]:
    """One line a row, as HEADINGS say."""
    return [
        [
            row.symbol,
            row.status,
            number(row.measures.get("last_price")),
            number(row.measures.get("change_24h_percent"), 3),
            number(row.measures.get("best_bid")),
            number(row.measures.get("best_ask")),
            number(row.measures.get("spread_percent"), 5),
            number(row.measures.get("last_trades_mean_price")),
            row.reason or "",
        ]
        for row in rows
    ]


def number(value: Measure | None, decimals: int = 8) -> str:
    """Without needless zeros; a dash for what is not known."""
    if value is None:
        return "–"
    text = f"{Decimal(value):,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def summary_of(result: RunResult) -> str:
    """One line about a run."""
    statuses = [row.status for row in result.rows]
    counts = ", ".join(
        f"{statuses.count(status)} {status}"
        for status in ("complete", "backfilled", "missing")
        if status in statuses
    )
    parts = [f"{result.state}: {counts or 'no row that was not there'}"]
    if result.filled:
        parts.append(f"{len(result.filled)} earlier rows entered")
    if result.held:
        parts.append(f"{len(result.held)} quarantined")
    parts.append(f"{result.landed} slots landed")
    if result.waiting:
        parts.append(f"{result.waiting} wait in the spool")
    parts += [f"{place}: {text}" for place, text in result.troubles.items()]
    return f"{'; '.join(parts)}; {result.seconds:.1f} s"


def as_records(rows: Sequence[SnapshotRow]) -> list[dict[str, Any]]:
    """Lines as objects of strings, which artifacts take."""
    return [dict(zip(HEADINGS, line, strict=True)) for line in lines_of(rows)]


def sparkline(values: Sequence[float]) -> str:
    """A chart of one line's height, lowest value to highest."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    step = (high - low) / (len(_BARS) - 1) or 1.0
    return "".join(_BARS[round((value - low) / step)] for value in values)
