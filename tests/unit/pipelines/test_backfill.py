from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipelines.snapshots.backfill import bars_for, rows_of_klines
from pipelines.snapshots.rows import check_row
from tests.builders import kline
from tests.snapshot_builders import FIVE_MINUTES, SLOT

DAY = 86_400_000
NOW = SLOT + 10 * FIVE_MINUTES


def bar(end_ms: int, **fields: Any) -> Any:
    """A 5m bar that ends there."""
    times = {"open_time_ms": end_ms - FIVE_MINUTES, "close_time_ms": end_ms - 1}
    return kline(interval="5m", **times, **fields)


def test_a_passed_slot_gets_what_the_bars_of_its_day_say() -> None:
    bars = [
        bar(SLOT - DAY, open="1", close="1"),  # ends where the day begins: not part of it
        bar(SLOT - DAY + FIVE_MINUTES, open="100", close="110", high="120", low="90", base_volume="1"),
        bar(SLOT, open="110", close="105", high="115", low="80", base_volume="3", quote_volume="330"),
    ]
    (row,) = rows_of_klines("BTCUSDT", [SLOT], bars, {SLOT: "not taken"}, NOW)
    check_row(row)
    assert (row.status, row.reason, row.origin) == ("backfilled", "not taken", "backfill")
    assert row.measures == {
        "exchange_time": SLOT,
        "last_price": Decimal(105),
        "change_24h": Decimal(5),
        "change_24h_percent": Decimal(5),
        "high_24h": Decimal(120),
        "low_24h": Decimal(80),
        "base_volume_24h": Decimal(4),
        "quote_volume_24h": Decimal("1335"),
        "weighted_average_price_24h": Decimal("333.75"),
    }


def test_without_the_bar_that_ends_at_it_a_slot_had_no_trading_and_stays_missing() -> None:
    bars = [bar(SLOT - FIVE_MINUTES), bar(SLOT + FIVE_MINUTES)]
    reasons = dict.fromkeys([SLOT, SLOT + FIVE_MINUTES], "halted (BREAK)")
    halted, open_again = rows_of_klines("BTCUSDT", list(reasons), bars, reasons, NOW)
    assert (halted.status, halted.reason, halted.measures) == ("missing", "no_trading", {})
    assert halted.settled
    assert open_again.status == "backfilled"


def test_a_day_without_a_trade_has_its_last_price_as_average() -> None:
    still = bar(SLOT, base_volume="0", quote_volume="0", close="7", high="7", low="7", open="7")
    (row,) = rows_of_klines("BTCUSDT", [SLOT], [still], {SLOT: "not taken"}, NOW)
    assert row.measures["weighted_average_price_24h"] == 7


def test_numbers_that_no_column_holds_are_not_cut_to_fit() -> None:
    (row,) = rows_of_klines("BTCUSDT", [SLOT], [bar(SLOT, quote_volume="1" * 20)] * 20, {SLOT: "x"}, NOW)
    assert row.status == "missing" and "beyond" in str(row.reason)


@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40), min_size=1))
def test_every_slot_asked_for_gets_exactly_one_row(bars_at: set[int], asked: set[int]) -> None:
    slots = [SLOT + place * FIVE_MINUTES for place in sorted(asked)]
    bars = [bar(SLOT + place * FIVE_MINUTES) for place in sorted(bars_at)]
    rows = rows_of_klines("BTCUSDT", slots, bars, dict.fromkeys(slots, "why"), NOW)
    assert [row.slot_ms for row in rows] == slots
    there = {SLOT + place * FIVE_MINUTES for place in bars_at}
    assert [row.status == "backfilled" for row in rows] == [slot in there for slot in slots]


def test_bars_are_as_long_as_slots_allow() -> None:
    assert (bars_for(FIVE_MINUTES), bars_for(3_600_000), bars_for(60_000)) == ("5m", "5m", "1m")
