"""Bars that an earlier process closed by its clock, and trades of them that came after it had ended."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from producers.built_bars import BarEvent, BuiltBars
from producers.effects import Publish, ReadTrades
from producers.start_positions import StartPosition
from shared.messages import KlineMessage, TradeMessage
from shared.topics import klines_topic
from tests.unit.producers.test_built_bars import MINUTE, SECOND, T, bars_of, entries_of, trade_at

LATE = trade_at(105, 58_900, price="7")
# A trade a second or so; the last second of the minute is flat.
TRADES = [trade_at(100, -5), *(trade_at(101 + at, 55_000 + SECOND * at) for at in range(4))]
PUBLISHED = {"1s": T + 59 * SECOND, "1m": T}


def messages(events: Sequence[BarEvent], interval: str) -> list[KlineMessage]:
    return [
        effect.message
        for _, effect in events
        if isinstance(effect, Publish) and effect.topic == klines_topic(interval)
    ]


@pytest.fixture
def before() -> list[BarEvent]:
    """What the earlier process published: all up to the end of the minute, closed by its clock."""
    bars = BuiltBars("kraken", "BTC/USD", ["1s", "1m"])
    bars.begin({}, T, warm=False)
    bars.receive_history(T, TRADES)
    bars.receive_history(T, ())
    return bars.tick(T + MINUTE + 2_500, T + MINUTE + 2_500, lambda *_: False)


def restarted(
    before: Sequence[BarEvent], *, intervals: Sequence[str] = ("1s", "1m"), compares: bool = True
) -> BuiltBars:
    bars = BuiltBars("kraken", "BTC/USD", intervals)
    positions = {
        f"kraken:BTC/USD:klines:{interval}": StartPosition(PUBLISHED[interval]) for interval in intervals
    }
    bars.begin(positions, T + MINUTE + 10_000, warm=True)
    on_topic = [bar for interval in intervals for bar in messages(before, interval)]
    bars.compare_with(on_topic if compares else ())
    return bars


def read(bars: BuiltBars, *rows: TradeMessage, begin_ms: int = T) -> list[BarEvent]:
    """What follows from a whole reading."""
    return [*bars.receive_history(begin_ms, rows), *bars.receive_history(begin_ms, ())]


def test_a_trade_among_those_read_again_is_in_new_versions_of_all_its_bars(before: list[BarEvent]) -> None:
    assert bars_of(before)[-2:] == [(58_000, 1), (59_000, 0)] and bars_of(before, "1m") == [(0, 4)]
    events = read(restarted(before), *TRADES, LATE, trade_at(106, 65_000))
    again = [(open_ms, count) for open_ms, count in bars_of(events) if open_ms < MINUTE]
    assert again == [(58_000, 2), (59_000, 0)]
    assert [bar["close"] for bar in messages(events, "1s") if bar["open_time_ms"] < T + MINUTE] == ["7", "7"]
    assert bars_of(events, "1m") == [(0, 5)]
    assert sorted(entries_of(events)) == [
        ("1m", "revised", 0, 0),
        ("1s", "revised", 58_000, 58_000),
        ("1s", "revised", 59_000, 59_000),
    ]


def test_bars_that_have_all_their_trades_are_not_published_again(before: list[BarEvent]) -> None:
    events = read(restarted(before), *TRADES, trade_at(105, 65_000))
    assert bars_of(events)[0] == (60_000, 0) and entries_of(events) == []


def test_trades_read_again_out_of_the_order_of_time_change_no_bar(before: list[BarEvent]) -> None:
    """On their way bars are built again without the late one."""
    disordered = [trade_at(100, -5), trade_at(101, 55_000), trade_at(102, 57_000), trade_at(103, 56_990)]
    rows = [*disordered, trade_at(104, 58_000)]
    bars = BuiltBars("kraken", "BTC/USD", ["1s", "1m"])
    bars.begin({}, T, warm=False)
    was = [*read(bars, *rows), *bars.tick(T + MINUTE + 2_500, T + MINUTE + 2_500, lambda *_: False)]
    for _ in range(2):
        events = read(restarted(was), *rows, trade_at(105, 65_000))
        assert bars_of(events)[0] == (60_000, 0) and entries_of(events) == []


def test_what_a_kill_left_without_its_new_version_is_found_by_the_next_start(before: list[BarEvent]) -> None:
    """The second's was delivered, the minute's was not."""
    rows = [*TRADES, LATE, trade_at(106, 65_000)]
    first = read(restarted(before), *rows)
    delivered = [each for each in first if each[0] == "1s"]
    events = read(restarted([*before, *delivered]), *rows)
    assert bars_of(events, "1m") == [(0, 5)]
    assert entries_of(events) == [("1m", "revised", 0, 0)]


def test_a_bar_that_has_more_than_rest_still_has_stays(before: list[BarEvent]) -> None:
    events = read(restarted(before), *TRADES[:2], *TRADES[3:], trade_at(105, 65_000))
    assert bars_of(events)[0] == (60_000, 0) and entries_of(events) == []


@pytest.mark.parametrize("closed_again", [True, False])
def test_of_a_trade_that_comes_over_the_stream_bars_built_again_get_versions(
    before: list[BarEvent], closed_again: bool
) -> None:
    bars = restarted(before)
    events = read(bars, *TRADES)
    now_ms = T + (70_000 if closed_again else 0)
    events += bars.tick(now_ms, now_ms, lambda *_: False)
    assert entries_of(events) == []
    events = [*bars.receive(LATE), *bars.receive(trade_at(106, 75_000))]
    assert (58_000, 2) in bars_of(events) and (0, 5) in bars_of(events, "1m")
    assert ("1m", "revised", 0, 0) in entries_of(events)
    assert {kind for _, kind, *_ in entries_of(events)} == {"revised"}


def test_bars_that_are_not_built_again_are_said_to_lack_a_trade_of_the_stream_once(
    before: list[BarEvent],
) -> None:
    """With the flat ones after it, whose price is another one."""
    bars = restarted(before)
    # There were too many trades to read those of the minute again.
    read(bars, TRADES[-1], trade_at(107, 65_000), begin_ms=T + MINUTE)
    assert entries_of(bars.receive(LATE)) == [
        ("1s", "incomplete", 58_000, 59_000),
        ("1m", "incomplete", 0, 0),
    ]
    assert entries_of(bars.receive(trade_at(106, 58_950))) == []
    # The producer had been killed between the bar and the trade.
    assert entries_of(bars.receive(trade_at(103, 57_000))) == []


def test_a_longer_bar_that_is_not_built_again_is_said_to_lack_what_a_shorter_one_gets(
    before: list[BarEvent],
) -> None:
    bars = restarted(before)
    events = read(bars, *TRADES[2:], LATE, trade_at(106, 65_000), begin_ms=T + 57 * SECOND)
    assert (58_000, 2) in bars_of(events)
    assert ("1m", "incomplete", 0, 0) in entries_of(events) and bars_of(events, "1m") == []


def test_without_what_the_topic_has_nothing_is_said(before: list[BarEvent]) -> None:
    events = read(restarted(before, compares=False), *TRADES, LATE, trade_at(106, 65_000))
    assert entries_of(events) == [] and bars_of(events)[0] == (60_000, 0)


def test_longer_bars_alone_are_held_to_themselves(before: list[BarEvent]) -> None:
    events = read(restarted(before, intervals=["1m"]), *TRADES, LATE, trade_at(106, 2 * MINUTE))
    assert sorted(bars_of(events, "1m")) == [(0, 5), (MINUTE, 0)]
    assert entries_of(events) == [("1m", "revised", 0, 0)]


def test_bars_wait_for_trades_of_the_topic_that_rest_does_not_have_yet(before: list[BarEvent]) -> None:
    """REST trails the streams by seconds."""
    bars = restarted(before)
    bars.receive_history(T, TRADES)
    bars.receive_history(T, (), (106, T + 70_000))
    events = bars.tick(T + 90_000, T + 90_000, lambda *_: False)
    assert bars_of(events) == []
    (asked,) = [effect for _, effect in events if isinstance(effect, ReadTrades)]
    rows = [TRADES[-1], trade_at(105, 65_000), trade_at(106, 65_100)]
    events = read(bars, *rows, begin_ms=asked.begins_ms[0])
    events += bars.tick(T + 90_000, T + 90_000, lambda *_: False)
    assert (65_000, 2) in bars_of(events) and entries_of(events) == []
