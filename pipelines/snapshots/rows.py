"""A snapshot row and its invariants: one row per key after any number of writes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from typing import Any, Final, Literal

from pipelines.snapshots.columns import COLUMNS, MEASURES, PRECISION, SCALE
from shared.errors import CryptoStreamError

Status = Literal["complete", "backfilled", "missing"]
Origin = Literal["scheduled", "manual", "backfill"]
Measure = Decimal | int
Key = tuple[str, str, int]

# Final reasons: the exchange has no bar there, or no such symbol.
NO_TRADING: Final = "no_trading"
UNKNOWN_SYMBOL: Final = "unknown_symbol"
FINAL_REASONS: Final = frozenset((NO_TRADING, UNKNOWN_SYMBOL))
HALTED: Final = "halted"

_RANK: Final[Mapping[Status, int]] = {"complete": 3, "backfilled": 2, "missing": 0}
_LARGEST: Final = Decimal(10) ** (PRECISION - SCALE)
_STEP: Final = Decimal(1).scaleb(-SCALE)


class BrokenRow(CryptoStreamError):
    """A row breaks the invariants below: a bug of ours, never the exchange's fault."""


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """The market of one symbol at one slot.

    Times in ms since the epoch; `measures` by column name (`columns.MEASURES`), without unknown ones.

    Attributes:
        reason: why it is not complete; None if it is.
        observed_time_ms: our clock when the answer came, or when the slot was entered as missing.
    """

    exchange: str
    symbol: str
    slot_ms: int
    status: Status
    reason: str | None
    origin: Origin
    observed_time_ms: int
    measures: Mapping[str, Measure] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return self.exchange, self.symbol, self.slot_ms

    @property
    def settled(self) -> bool:
        """Whether asking the exchange again cannot improve it."""
        return self.status != "missing" or self.reason in FINAL_REASONS


def missing(  # noqa: PLR0917 - in the order of the columns
    exchange: str, symbol: str, slot_ms: int, reason: str, origin: Origin, now_ms: int
) -> SnapshotRow:
    """A missing row with its reason."""
    return SnapshotRow(exchange, symbol, slot_ms, "missing", reason[:200], origin, now_ms)


def fitting(value: Decimal) -> bool:
    """Whether the columns' type holds all digits: below 10^20, at most 18 decimals."""
    exponent = value.as_tuple().exponent
    # copy_abs: abs would round to the context's 28 digits.
    return isinstance(exponent, int) and value.copy_abs() < _LARGEST and exponent >= -SCALE


def rounded(value: Decimal) -> Decimal:
    """A computed number, rounded to the columns' decimals."""
    with localcontext(prec=60):
        return value.quantize(_STEP)


def check_row(row: SnapshotRow) -> None:
    """Check that measures and reason fit the status.

    Raises:
        BrokenRow: they do not.
    """
    match row.status:
        case "complete":
            expected = {column.name for column in MEASURES}
        case "backfilled":
            expected = {column.name for column in MEASURES if column.klines}
        case _:
            expected = set()
    if row.measures.keys() != expected:
        wrong = sorted(row.measures.keys() ^ expected)
        raise BrokenRow(
            f"{row.symbol} at {row.slot_ms}: {row.status}, but {', '.join(wrong)} does not fit that"
        )
    if (row.status == "complete") != (row.reason is None):
        raise BrokenRow(f"{row.symbol} at {row.slot_ms}: {row.status} with reason {row.reason!r}")


def better(one: SnapshotRow, other: SnapshotRow) -> SnapshotRow:
    """The row of two with the same key that is kept: the better status, then the earlier observation.

    Commutative, associative, idempotent: late, double, overlapping and retried runs, in any order, leave the
    same row. An earlier observation is nearer to its slot. `warehouse.statements` has the same order in SQL.
    """
    return max(one, other, key=_worth)


def merge(*parts: Iterable[SnapshotRow]) -> list[SnapshotRow]:
    """One row per key, by slot and symbol."""
    kept: dict[Key, SnapshotRow] = {}
    for part in parts:
        for row in part:
            before = kept.get(row.key)
            kept[row.key] = row if before is None else better(before, row)
    return sorted(kept.values(), key=lambda row: (row.slot_ms, row.exchange, row.symbol))


def rank(row: SnapshotRow) -> int:
    """3 complete, 2 backfilled, 1 missing for good, 0 missing so far."""
    return 1 if row.status == "missing" and row.settled else _RANK[row.status]


def _worth(row: SnapshotRow) -> tuple[Any, ...]:
    # The rest breaks ties, so that the choice does not depend on the order.
    rest = tuple(str(row.measures.get(column.name)) for column in COLUMNS)
    return rank(row), -row.observed_time_ms, row.origin, row.reason or "", rest
