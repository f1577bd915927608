"""Bars from before the log's own are summed up from its trades, to the last bit what the market has."""

from __future__ import annotations

import pytest

from chaos.exchange_log import BAR_FIELDS, ExactTrade
from chaos.summed_bars import summed, without_holes
from simulator.exchange import Span
from simulator.protocols.registry import EXCHANGES as SPOKEN
from simulator.world.rows import kline_row, trade_rows

START_MS = 1_796_000_000_100


@pytest.mark.parametrize("unit", [1_000, 60_000])
def test_summed_bars_equal_the_markets_quiet_ones_included(unit: int) -> None:
    market = SPOKEN["kraken"].world(("XRP/USD",), 3, START_MS, 1.0).markets["XRP/USD"]
    first_ms, end_ms = START_MS // 60_000 * 60_000 - 180_000, START_MS // 60_000 * 60_000
    first_id = market.tape.id_after(first_ms - 1) - 1
    rows = trade_rows(market, market.tape.by_id(first_id, 5_000, START_MS))
    trades = {
        row.trade_id: ExactTrade(row.trade_time_ms, row.price, row.quantity, row.buyer_is_maker)
        for row in rows
    }
    found = summed(trades, unit, first_ms, end_ms)
    interval = "1s" if unit == 1_000 else "1m"
    bars = market.history.select(interval, 0, Span(first_ms, end_ms - unit, 1_000), START_MS)
    expected = {
        row.open_time_ms: tuple(float(getattr(row, name)) for name in BAR_FIELDS)
        for row in (kline_row(market, bar) for bar in bars)
    }
    assert found == expected
    assert any(not numbers[-1] for numbers in found.values()) == (unit == 1_000)


def test_a_bar_before_any_trade_is_left_out() -> None:
    trade = ExactTrade(5_500, "2.0", "3", True)
    assert summed({7: trade}, 1_000, 4_000, 7_000) == {
        5_000: (2.0, 2.0, 2.0, 2.0, 3.0, 6.0, 0.0, 0.0, 1.0),
        6_000: (2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    }


def test_a_flat_bar_repeats_the_bar_before_it_though_an_earlier_one_has_a_higher_number() -> None:
    trades = {
        1: ExactTrade(2_900, "2.0", "1", True),
        2: ExactTrade(3_100, "3.0", "1", True),
        3: ExactTrade(2_950, "4.0", "1", True),
    }
    flat = (3.0, 3.0, 3.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert summed(trades, 1_000, 4_000, 5_000) == {4_000: flat}
    # The same bar, whether the sums begin with it or before.
    assert summed(trades, 1_000, 2_000, 5_000)[4_000] == flat


def test_an_interval_that_the_log_leaves_out_is_flat_at_the_price_before_it() -> None:
    bars = {
        5_000: (2.0, 4.0, 1.0, 3.0, 3.0, 6.0, 0.0, 0.0, 1.0),
        8_000: (5.0, 5.0, 5.0, 5.0, 1.0, 5.0, 0.0, 0.0, 1.0),
    }
    flat = (3.0, 3.0, 3.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert without_holes(bars, 1_000) == {**bars, 6_000: flat, 7_000: flat}
    assert list(without_holes(bars, 1_000)) == [5_000, 6_000, 7_000, 8_000]
    assert without_holes({}, 1_000) == {}
