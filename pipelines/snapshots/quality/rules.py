"""The rules of complete rows, declared once; pandera applies them.

A row that breaks one is quarantined with the rule's name, and its slot is entered as missing, to be
backfilled from klines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from pipelines.snapshots.frame import table_of
from pipelines.snapshots.quality.bounds import Bounds, jump
from pipelines.snapshots.quality.quarantine import RuleResult
from pipelines.snapshots.rows import SnapshotRow

Frame = Any
# Tickers are current: an older time comes from a wrong clock or a cache.
_OLDEST: Final = pd.Timedelta(seconds=60)
# Runs wait for their slot; this allows for the resolution of clocks.
_EARLIEST: Final = pd.Timedelta(seconds=2)
# The stream's bar ends at the slot, the row is taken up to an interval later.
_STREAM_TOLERANCE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        holds: a boolean for each row of a frame (see `_frame`).
        text: what it demands, for people.
    """

    name: str
    text: str
    holds: Callable[[Frame], Frame]


def _not_negative(*columns: str) -> Callable[[Frame], Frame]:
    return lambda frame: (frame[list(columns)].astype("float64") >= 0).all(axis=1)


def _above_zero(*columns: str) -> Callable[[Frame], Frame]:
    return lambda frame: (frame[list(columns)].astype("float64") > 0).all(axis=1)


RULES: Final[tuple[Rule, ...]] = (
    Rule("bid_below_ask", "best_bid < best_ask", lambda f: f["best_bid"] < f["best_ask"]),
    Rule(
        "last_within_day",
        "high_24h ≥ last_price ≥ low_24h",
        lambda f: (f["high_24h"] >= f["last_price"]) & (f["last_price"] >= f["low_24h"]),
    ),
    Rule(
        "prices_above_zero",
        "all prices > 0",
        _above_zero(
            "last_price",
            "high_24h",
            "low_24h",
            "weighted_average_price_24h",
            "best_bid",
            "best_ask",
            "last_trades_mean_price",
        ),
    ),
    Rule("volumes_not_negative", "24 h volumes ≥ 0", _not_negative("base_volume_24h", "quote_volume_24h")),
    Rule(
        "quantities_above_zero",
        "quantities of best bid, best ask and the last trades > 0",
        _above_zero("best_bid_quantity", "best_ask_quantity", "last_trades_volume"),
    ),
    Rule(
        "average_within_day",
        "high_24h ≥ weighted_average_price_24h ≥ low_24h",
        # The average is rounded to 8 decimals by the exchange.
        lambda f: (
            (
                f["high_24h"].astype("float64") * (1 + 1e-7)
                >= f["weighted_average_price_24h"].astype("float64")
            )
            & (
                f["low_24h"].astype("float64") * (1 - 1e-7)
                <= f["weighted_average_price_24h"].astype("float64")
            )
        ),
    ),
    Rule(
        "taken_within_slot",
        "observed between the slot and the next one",
        lambda f: (f["observed_time"] >= f["slot"] - _EARLIEST) & (f["observed_time"] < f["slot_end"]),
    ),
    Rule(
        "fresh",
        "exchange_time within 60 s of the observation",
        lambda f: (f["observed_time"] - f["exchange_time"]).abs() <= _OLDEST,
    ),
    Rule(
        "spread_usual",
        "spread_percent within the bound learned from the last day",
        lambda f: f["spread_percent"].astype("float64") <= f["most_spread_percent"],
    ),
    Rule(
        "price_jump_usual",
        "last_price moved no more since the last row than the last day lets expect",
        lambda f: f["jump"] <= f["most_jump"],
    ),
    Rule(
        "agrees_with_stream",
        "last_price within 1 % of the stream's own 1m close, where there is one",
        lambda f: f["off_stream"] <= _STREAM_TOLERANCE,
    ),
)

# A rule of the slot, not of a row, so pandera does not apply it: name, text.
SLOT_COMPLETE: Final = ("slot_complete", "a complete row of every symbol")

_SCHEMA: Final = pa.DataFrameSchema(
    checks=[pa.Check(rule.holds, name=rule.name, error=rule.name, ignore_na=False) for rule in RULES]
)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What rows are checked against.

    Attributes:
        bounds: by symbol.
        before: slot and price of the newest earlier row, by symbol.
        stream_closes: of the stream's 1m bar that ends at the slot, by symbol; where there is one.
    """

    interval_ms: int
    bounds: Mapping[str, Bounds]
    before: Mapping[str, tuple[int, float]]
    stream_closes: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RuleCheck:
    """Attributes:
    good: rows that keep all rules.
    broken: the other rows, with the names of the broken rules.
    """

    good: tuple[SnapshotRow, ...]
    broken: tuple[tuple[SnapshotRow, tuple[str, ...]], ...]

    def results(self) -> list[RuleResult]:
        """Counts of each rule."""
        checked = len(self.good) + len(self.broken)
        return [
            RuleResult(rule.name, rule.text, checked, sum(rule.name in names for _, names in self.broken))
            for rule in RULES
        ]


def check_rules(rows: Sequence[SnapshotRow], baseline: Baseline) -> RuleCheck:
    """Apply the rules to complete rows."""
    if not rows:
        return RuleCheck((), ())
    try:
        _SCHEMA.validate(_frame(rows, baseline), lazy=True)
    except SchemaErrors as errors:
        broken: dict[int, set[str]] = {}
        cases = errors.failure_cases
        # A rule on several columns reports a case for each of them.
        for position, check in zip(cases["index"], cases["check"], strict=True):
            if pd.isna(position):
                raise  # a rule that cannot be applied is a bug of ours
            broken.setdefault(int(position), set()).add(str(check))
        return RuleCheck(
            tuple(row for position, row in enumerate(rows) if position not in broken),
            tuple((rows[position], tuple(sorted(names))) for position, names in sorted(broken.items())),
        )
    return RuleCheck(tuple(rows), ())


def _frame(rows: Sequence[SnapshotRow], baseline: Baseline) -> Frame:
    """Rows in the types of the schema, with the columns of the baseline that the rules need."""
    frame = table_of(rows).to_pandas(types_mapper=pd.ArrowDtype, date_as_object=False)
    for name in ("slot", "observed_time", "exchange_time"):
        frame[name] = frame[name].astype("datetime64[us, UTC]")
    bounds = [baseline.bounds.get(row.symbol, Bounds()) for row in rows]
    frame["slot_end"] = frame["slot"] + pd.Timedelta(milliseconds=baseline.interval_ms)
    frame["most_spread_percent"] = [bound.spread_percent for bound in bounds]
    frame["jump"] = [_jump(row, baseline) for row in rows]
    frame["most_jump"] = [
        bound.jump * max(1.0, _slots_since(row, baseline)) ** 0.5
        for row, bound in zip(rows, bounds, strict=True)
    ]
    frame["off_stream"] = [_off_stream(row, baseline) for row in rows]
    return frame


def _slots_since(row: SnapshotRow, baseline: Baseline) -> float:
    before = baseline.before.get(row.symbol)
    return 1.0 if before is None else (row.slot_ms - before[0]) / baseline.interval_ms


def _jump(row: SnapshotRow, baseline: Baseline) -> float:
    before = baseline.before.get(row.symbol)
    price = float(row.measures["last_price"])
    return 0.0 if before is None or price <= 0 else jump(before[1], price)


def _off_stream(row: SnapshotRow, baseline: Baseline) -> float:
    close = baseline.stream_closes.get(row.symbol)
    return 0.0 if not close else abs(float(row.measures["last_price"]) / close - 1)
