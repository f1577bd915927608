from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.world.instruments import instrument
from simulator.world.price_path import MINUTE_MS
from simulator.world.trade_tape import Trades, TradeTape

START_MS = 1_785_767_130_000  # 2026-08-03T14:25:30Z
DENSE_MS = 1_785_715_200_000 - 2 * 86_400_000


@lru_cache
def tape(symbol: str = "BTCUSDC", rate: float = 1.0) -> TradeTape:
    return TradeTape(instrument(symbol), 7, START_MS, rate)


def rows(trades: Trades) -> list[tuple[int, ...]]:
    columns = (trades.times_ms, trades.price_ticks, trades.lots, trades.buyer_is_maker)
    return [
        (trades.first_id + index, *row)
        for index, row in enumerate(zip(*(column.tolist() for column in columns), strict=True))
    ]


# Around every border of the world: its beginning, thin to dense, midnight, dense to live.
borders = st.sampled_from([tape().history_from_ms, DENSE_MS, DENSE_MS + 86_400_000, START_MS])


@settings(max_examples=40, deadline=None)
@given(borders, st.integers(-20, 20), st.integers(0, 300_000), st.sampled_from(["BTCUSDC", "XRPUSDC"]))
def test_any_span_is_made_of_its_minutes_and_ids_are_contiguous(
    border: int, minutes: int, length_ms: int, symbol: str
) -> None:
    source = tape(symbol)
    begin = border + minutes * MINUTE_MS + 17
    whole = rows(source.between(begin, begin + length_ms))
    first, last = begin // MINUTE_MS, (begin + length_ms) // MINUTE_MS
    by_minute = [
        row
        for minute in range(max(first, source.history_from_ms // MINUTE_MS), last + 1)
        for row in rows(source.minute(minute))
        if begin <= row[1] < begin + length_ms
    ]
    assert whole == by_minute
    assert [row[0] for row in whole] == list(range(whole[0][0], whole[0][0] + len(whole))) if whole else True
    assert [row[1] for row in whole] == sorted(row[1] for row in whole)


def test_ids_are_contiguous_from_the_thin_past_into_the_live_part() -> None:
    source = tape("XRPUSDC")
    ids = [
        (trades.first_id, trades.first_id + len(trades))
        for trades in source.pieces(DENSE_MS - 3_600_000, START_MS + 3_600_000, most=1_000)
    ]
    assert len(ids) > 50
    assert all(before[1] == after[0] for before, after in pairwise(ids))


def test_the_thin_past_has_one_trade_a_minute_and_reaches_1100_days_back() -> None:
    source = tape()
    assert source.history_from_ms < START_MS - 1_100 * 86_400_000
    day = source.between(DENSE_MS - 86_400_000, DENSE_MS)
    assert (day.times_ms // MINUTE_MS - (DENSE_MS - 86_400_000) // MINUTE_MS).tolist() == list(range(1440))


@settings(max_examples=50, deadline=None)
@given(st.integers(-5_000, 400_000))
def test_an_id_finds_its_trade(offset: int) -> None:
    source = tape()
    dense_id = source.id_at_minute(DENSE_MS // MINUTE_MS)
    found = source.by_id(dense_id + offset, 3, START_MS)
    assert found.first_id == dense_id + offset
    assert rows(found)[0] in rows(source.minute(source.minute_of_id(dense_id + offset)))


def test_by_id_stops_at_the_asked_time() -> None:
    source = tape()
    newest = source.id_after(START_MS) - 1
    assert len(source.by_id(newest - 4, 100, START_MS)) == 5
    assert len(source.by_id(newest + 1, 100, START_MS)) == 0


def test_the_same_seed_and_start_give_the_same_trades_whatever_was_asked_before() -> None:
    one, other = (TradeTape(instrument("SOLUSDC"), 3, START_MS, 1.0) for _ in range(2))
    other.minute((START_MS + 9_000_000) // MINUTE_MS)
    list(other.pieces(DENSE_MS, DENSE_MS + 7_200_000, most=100))
    span = (START_MS - 120_000, START_MS + 120_000)
    assert rows(one.between(*span)) == rows(other.between(*span))
    another = TradeTape(instrument("SOLUSDC"), 4, START_MS, 1.0)
    assert rows(one.between(*span)) != rows(another.between(*span))


def test_the_rate_multiplies_trades_from_the_minute_of_the_start_on() -> None:
    before = (START_MS - 600_000, START_MS - 60_000)
    after = (START_MS + 60_000, START_MS + 600_000)
    assert rows(tape().between(*before)) == rows(tape(rate=10.0).between(*before))
    assert len(tape(rate=10.0).between(*after)) == pytest.approx(10 * len(tape().between(*after)), rel=0.01)


def test_quiet_symbols_have_seconds_without_a_trade() -> None:
    trades = tape("XRPUSDC").between(START_MS, START_MS + 600_000)
    assert len(np.unique(trades.times_ms // 1000)) < 500


def test_before_history_there_is_nothing() -> None:
    source = tape()
    assert len(source.between(source.history_from_ms - 10**9, source.history_from_ms)) == 0
    assert len(source.last_before(source.history_from_ms)) == 0
    assert source.by_id(0, 1, START_MS).first_id == source.first_id
