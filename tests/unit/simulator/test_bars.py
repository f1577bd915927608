from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.intervals import INTERVAL_MS
from simulator.exchange import Span
from simulator.world.bars import Bar, BarHistory, RunningBars, merged, sum_bars
from simulator.world.calendar import INTERVALS, bar_edges, bar_end, bar_open, opens_before
from simulator.world.instruments import instrument
from simulator.world.trade_tape import TradeTape

START_MS = 1_785_767_130_000
DENSE_MS = 1_785_715_200_000 - 2 * 86_400_000


@lru_cache
def tape(symbol: str = "XRPUSDC") -> TradeTape:
    return TradeTape(instrument(symbol), 7, START_MS, 1.0)


def summed_by_hand(source: TradeTape, open_ms: int, end_ms: int) -> Bar:
    trades = source.between(open_ms, end_ms)
    prices, lots = trades.price_ticks.tolist(), trades.lots.tolist()
    if not prices:
        close = int(source.last_before(open_ms).price_ticks[0])
        return Bar(open_ms, end_ms, close, close, close, close, 0, 0, 0, 0, 0, -1, -1)
    sold = trades.buyer_is_maker.tolist()
    bought = [(price, lot) for price, lot, maker in zip(prices, lots, sold, strict=True) if not maker]
    return Bar(
        open_ms,
        end_ms,
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        sum(lots),
        sum(price * lot for price, lot in zip(prices, lots, strict=True)),
        len(prices),
        sum(lot for _, lot in bought),
        sum(price * lot for price, lot in bought),
        trades.first_id,
        trades.first_id + len(prices) - 1,
    )


@pytest.mark.thorough
@pytest.mark.parametrize("interval", INTERVALS)
def test_closed_bars_of_every_interval_are_the_exact_sums_of_their_trades(interval: str) -> None:
    now = START_MS + 7_000_000
    bars = BarHistory(tape()).select(interval, 0, Span(None, None, 5), now)
    assert len(bars) == 5
    for bar in bars[:-1]:
        assert bar == summed_by_hand(tape(), bar.open_ms, bar.end_ms)
    assert bars[-1].end_ms > now >= bars[-1].open_ms
    upto_now = summed_by_hand(tape(), bars[-1].open_ms, now + 1)
    assert (bars[-1].close, bars[-1].quote, bars[-1].last_id) == (
        upto_now.close,
        upto_now.quote,
        upto_now.last_id,
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(DENSE_MS - 5_000_000, START_MS + 5_000_000), st.integers(1, 200))
def test_one_second_bars_are_exact_across_every_border_and_flat_where_nothing_was_traded(
    begin: int, count: int
) -> None:
    begin -= begin % 1000
    bars = sum_bars(tape(), bar_edges("1s", begin, count))
    assert bars == [
        summed_by_hand(tape(), open_ms, open_ms + 1000)
        for open_ms in range(begin, begin + count * 1000, 1000)
    ]


def test_some_seconds_are_flat() -> None:
    bars = sum_bars(tape(), bar_edges("1s", START_MS, 600))
    assert {bar.count == 0 for bar in bars} == {True, False}


@pytest.mark.parametrize("interval", ["1h", "1d"])
def test_minutes_add_up_to_longer_bars(interval: str) -> None:
    open_ms = DENSE_MS
    minutes = sum_bars(tape("BTCUSDC"), bar_edges("1m", open_ms, INTERVAL_MS[interval] // 60_000))
    total = minutes[0]
    for minute in minutes[1:]:
        total = merged(total, minute)
    assert [total] == sum_bars(tape("BTCUSDC"), bar_edges(interval, open_ms, 1))


def test_sums_beyond_64_bits_are_exact() -> None:
    source = TradeTape(instrument("BTCUSDC"), 7, START_MS, 400.0)
    begin = START_MS - START_MS % 60_000 + 60_000
    (bar,) = sum_bars(source, (begin, begin + 600_000))
    by_piece = [
        sum(price * lots for price, lots in zip(piece.price_ticks.tolist(), piece.lots.tolist(), strict=True))
        for piece in source.pieces(begin, begin + 600_000)
    ]
    assert len(by_piece) > 1
    assert bar.quote == sum(by_piece) > 2**53


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(START_MS - 100_000, START_MS + 4_000_000), min_size=1, max_size=8))
def test_running_bars_are_right_in_any_order_of_asking(times: list[int]) -> None:
    running = RunningBars(tape())
    for time_ms in times:
        for interval in ("1s", "1m", "15m", "1h"):
            open_ms = bar_open(interval, time_ms)
            bar = running.at(open_ms, bar_end(interval, open_ms), time_ms)
            expected = summed_by_hand(tape(), open_ms, time_ms + 1)
            assert bar.end_ms == bar_end(interval, open_ms)
            assert (bar.open, bar.high, bar.low, bar.close, bar.base, bar.quote, bar.count) == (
                expected.open, expected.high, expected.low, expected.close,
                expected.base, expected.quote, expected.count,
            )  # fmt: skip


def opens(span: Span, now: int = START_MS) -> list[int]:
    return [bar.open_ms for bar in BarHistory(tape()).select("1m", 0, span, now)]


NOW_OPEN = START_MS - START_MS % 60_000


class TestWhichBars:
    """BINANCE_SPOT.md §7.3, §9."""

    def test_neither_end_gives_the_newest(self) -> None:
        assert opens(Span(None, None, 3)) == [NOW_OPEN - 120_000, NOW_OPEN - 60_000, NOW_OPEN]

    def test_a_start_gives_the_oldest_from_there(self) -> None:
        assert opens(Span(NOW_OPEN - 600_000, None, 2)) == [NOW_OPEN - 600_000, NOW_OPEN - 540_000]

    def test_an_end_gives_the_newest_up_to_there(self) -> None:
        assert opens(Span(None, NOW_OPEN - 60_000, 2)) == [NOW_OPEN - 120_000, NOW_OPEN - 60_000]

    def test_both_ends_are_inclusive_on_the_open_time(self) -> None:
        assert opens(Span(NOW_OPEN - 120_000, NOW_OPEN, 500)) == [
            NOW_OPEN - 120_000,
            NOW_OPEN - 60_000,
            NOW_OPEN,
        ]

    def test_an_unaligned_start_gives_the_next_bar_and_an_unaligned_end_the_one_before(self) -> None:
        assert opens(Span(NOW_OPEN - 119_999, NOW_OPEN - 1, 500)) == [NOW_OPEN - 60_000]

    def test_the_future_and_the_time_before_history_are_empty(self) -> None:
        assert opens(Span(START_MS + 60_000, None, 5)) == []
        assert opens(Span(0, 10**9, 5)) == []
        assert opens(Span(0, None, 1)) == [tape().history_from_ms]


@given(
    st.sampled_from(INTERVALS), st.integers(1_600_000_000_000, 1_800_000_000_000), st.sampled_from([0, 8, -5])
)
def test_the_calendar_is_a_partition_of_time(interval: str, time_ms: int, hours: int) -> None:
    offset = hours * 3_600_000
    begin = bar_open(interval, time_ms, offset)
    end = bar_end(interval, begin, offset)
    assert begin <= time_ms < end
    assert bar_open(interval, end, offset) == end
    assert bar_open(interval, end - 1, offset) == begin
    assert bar_end(interval, opens_before(interval, begin, 1, offset), offset) == begin


def test_weeks_open_on_monday_and_months_on_the_first() -> None:
    assert bar_open("1w", START_MS) == 1_785_715_200_000  # Monday 2026-08-03
    assert bar_open("1M", START_MS) == 1_785_542_400_000  # 2026-08-01
