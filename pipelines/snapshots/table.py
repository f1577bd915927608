"""A run's rows as lines of text, for the terminal and Prefect's artifacts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from pipelines.snapshots.result import RunResult
from pipelines.snapshots.rows import Measure, SnapshotRow

HEADINGS: Final = ("symbol", "status", "last", "24 h %", "bid", "ask", "spread %", "mean of 5", "why")
RIGHT: Final = ("last", "24 h %", "bid", "ask", "spread %", "mean of 5")
_QUOTED: Final = ("last_price", "high_24h", "low_24h", "best_bid", "best_ask")
_LEAST_DIGITS: Final = 5
_BARS: Final = "▁▂▃▄▅▆▇█"


def lines_of(rows: Sequence[SnapshotRow]) -> list[list[str]]:
    """One line a row, columns as HEADINGS; a symbol's prices have equal decimals."""
    decimals = price_decimals(rows)
    return [
        [
            row.symbol,
            row.status,
            price(row.measures.get("last_price"), decimals[row.symbol]),
            number(row.measures.get("change_24h_percent"), 3),
            price(row.measures.get("best_bid"), decimals[row.symbol]),
            price(row.measures.get("best_ask"), decimals[row.symbol]),
            computed(row.measures.get("spread_percent"), 5),
            # A mean lies between the prices that were traded.
            computed(row.measures.get("last_trades_mean_price"), decimals[row.symbol] + 2),
            row.reason or "",
        ]
        for row in rows
    ]


def price_decimals(rows: Sequence[SnapshotRow]) -> dict[str, int]:
    """By symbol, the most decimals that one of its prices is quoted with."""
    decimals = {row.symbol: 0 for row in rows}
    for row in rows:
        quoted = [row.measures[name] for name in _QUOTED if name in row.measures]
        decimals[row.symbol] = max([decimals[row.symbol], *map(decimals_of, quoted)])
    return decimals


def decimals_of(value: Measure) -> int:
    """Decimals of a number without trailing zeros."""
    exponent = Decimal(value).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def price(value: Measure | None, decimals: int = 0) -> str:
    """All its decimals, and as many more as its symbol is quoted with; a dash for what is not known."""
    return "–" if value is None else f"{Decimal(value):,.{max(decimals, decimals_of(value))}f}"


def computed(value: Measure | None, decimals: int) -> str:
    """So many decimals, or more where that leaves fewer than five digits; without needless zeros."""
    if not value:
        return number(value)
    return number(value, max(decimals, _LEAST_DIGITS - 1 - Decimal(value).adjusted()))


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
    if result.quarantined:
        parts.append(f"{len(result.quarantined)} quarantined")
    parts.append(f"{result.landed} slots landed")
    if result.waiting:
        parts.append(f"{result.waiting} wait in the spool")
    parts += [f"{name}: {text}" for name, text in result.failures.items()]
    return f"{'; '.join(parts)}; {result.seconds:.1f} s"


def as_records(rows: Sequence[SnapshotRow]) -> list[dict[str, Any]]:
    """Lines as objects of strings, which artifacts take."""
    return [dict(zip(HEADINGS, line, strict=True)) for line in lines_of(rows)]


def sparkline(values: Sequence[float]) -> str:
    """A chart of one line's height, lowest value to highest."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    step = (high - low) / (len(_BARS) - 1) or 1.0
    return "".join(_BARS[round((value - low) / step)] for value in values)
