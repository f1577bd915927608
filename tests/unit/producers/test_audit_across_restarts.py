"""Bars that nobody compared before a producer was killed are compared by the next one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from producers.effects import FillTrades, Publish
from producers.instrument import Instrument
from producers.read_back import NOTHING_READ, Gathering, ReadBack
from producers.start_positions import FoundRange, OpenHole, StartPosition
from shared import trade_ids
from shared.messages import check
from shared.topics import TRADES, klines_topic
from tests.builders import NOW_MS, trade
from tests.unit.producers.bars_of_trades import Made, bar, issued, market
from tests.unit.producers.exchanges.toy import TOY

MINUTE = 60_000
BARS = klines_topic("1m")
TRADES_OF, BARS_OF = "binance:BTCUSDC:trades", "binance:BTCUSDC:klines:1m"
HOUR = 3_600_000
# Trades 101 to 102, 103 to 104 and 105.
MADE, RIGHT = market([[(100, 5, True), (101, 6, False)], [(102, 7, True), (99, 1, False)], [(98, 2, True)]])
WRONG = {**RIGHT[0], "high": "9.00000000"}
ENTERED = (NOW_MS, "trades say high 1.01000000")


def traded(trade_id: int, after_ms: int | None = None, source: str = "stream") -> Any:
    """A trade of `MADE`, in the minute of its bar or `after_ms` NOW_MS."""
    time_ms = NOW_MS + ((trade_id - 101) // 2 * MINUTE if after_ms is None else after_ms)
    values = issued(trade_id, MADE[trade_id])
    # Received long after, whatever the time is.
    return {**values, "trade_time_ms": time_ms, "received_time_ms": NOW_MS + 2 * HOUR, "source": source}


def filled(number: int, **changes: Any) -> Any:
    """A bar as REST has it: without trade ids."""
    return {**RIGHT[number], "first_trade_id": None, "last_trade_id": None, "source": "backfill", **changes}


def topics_with(trades: Any, bars: Any) -> ReadBack:
    gathering = Gathering(NOW_MS, NOW_MS + HOUR)
    records = [*((TRADES, each) for each in trades), *((BARS, each) for each in bars)]
    for offset, (topic, message) in enumerate(records):
        gathering.receive(topic, offset, message)
    return gathering.found()


class Process:
    """A producer of one symbol that has started."""

    def __init__(
        self,
        start_positions: Mapping[str, StartPosition],
        read_back: ReadBack = NOTHING_READ,
        at_ms: int = MINUTE,
        promises: Any = None,
    ) -> None:
        self.instrument = Instrument(
            "binance", "BTCUSDC", ["1m"], book_interval_ms=1_000, warmup_bars=0, promises=promises
        )
        self.effects = self.instrument.begin(start_positions, NOW_MS + at_ms, read_back=read_back)

    def receive(self, *trades_or_bars: Any) -> list[Any]:
        """The messages published."""
        effects: list[Any] = []
        for message in trades_or_bars:
            effects += self.instrument.receive("trade" if "trade_id" in message else "kline", message)
        return [effect.message for effect in effects if isinstance(effect, Publish)]

    def fill_trades(self, *trade_ids: int, **fields: Any) -> None:
        rows: list[Any] = [traded(trade_id, source="backfill", **fields) for trade_id in trade_ids]
        self.instrument.receive_trade_rows(trade_ids[0], trade_ids[-1], rows, NOW_MS, now_s=0.0)

    def fill_bars(self, *bars: Any) -> None:
        first, last = bars[0]["open_time_ms"], bars[-1]["open_time_ms"]
        self.instrument.receive_kline_rows("1m", first, last, list(bars), NOW_MS, now_s=0.0)

    def entered(self, *kinds: str) -> list[Any]:
        events = [effect.message for effect in self.instrument.tick()]
        for event in events:
            check("ledger", event)
        return [event for event in events if not kinds or event["kind"] in kinds]

    def revised(self) -> list[tuple[int, str]]:
        return [(event["first"], event["detail"]) for event in self.entered("revised")]


def after(last_trade: int, last_bar: int = 0, **more: Any) -> dict[str, StartPosition]:
    """What the topics have: trades up to this one, bars up to this one."""
    return {
        TRADES_OF: StartPosition(last_trade, time_ms=NOW_MS, **more),
        BARS_OF: StartPosition(NOW_MS + last_bar * MINUTE),
    }


def test_a_wrong_bar_that_was_published_before_a_kill_is_entered_by_the_next_process() -> None:
    killed = Process(after(100, -1), at_ms=0)
    published = killed.receive(traded(101), traded(102), WRONG)
    topics = topics_with(published[:2], published[2:])
    assert Process(after(102)).revised() == []  # without what the topics have it would never be known

    started = Process(after(102), topics)
    assert [effect for effect in started.effects if isinstance(effect, Publish)] == []
    (event,) = started.entered()
    assert (event["kind"], event["interval"], event["first"], event["detail"]) == ("revised", "1m", *ENTERED)
    assert event["received_time_ms"] == NOW_MS + MINUTE
    assert started.instrument.audited_bars == (1, 1, 0)
    assert started.entered() == []


def test_an_entry_that_a_power_cut_took_is_made_again_word_for_word() -> None:
    cut = Process(after(100, -1), at_ms=0)
    published = cut.receive(traded(101), traded(102), WRONG)
    (entered,) = cut.revised()
    assert Process(after(102), topics_with(published[:2], published[2:])).revised() == [entered]


def test_a_bar_that_is_right_is_entered_nowhere() -> None:
    started = Process(after(102), topics_with([traded(101), traded(102)], RIGHT[:1]))
    assert started.entered() == []
    assert started.instrument.audited_bars == (1, 0, 0)


def test_the_bar_of_the_minute_in_which_it_was_killed_is_compared_with_trades_of_both_processes() -> None:
    started = Process(after(103), topics_with([traded(102), traded(103)], RIGHT[:1]))
    started.receive(traded(104), {**RIGHT[1], "low": "0.50000000"})
    assert started.revised() == [(NOW_MS + MINUTE, "trades say low 0.99000000")]


def test_a_bar_that_rest_fills_continues_the_ids_of_the_one_that_was_read_back() -> None:
    started = Process(after(104), topics_with(map(traded, (101, 102, 103, 104)), RIGHT[:1]), at_ms=2 * MINUTE)
    started.fill_bars(filled(1, close="7.00000000"))
    assert started.revised() == [(NOW_MS + MINUTE, "trades say close 0.99000000")]
    started.receive(traded(105), RIGHT[2])
    assert started.revised() == []
    assert started.instrument.audited_bars == (3, 1, 0)


def test_no_trade_from_before_the_window_is_held_against_a_bar() -> None:
    before = [traded(trade_id, after_ms=-1) for trade_id in (101, 102)]
    started = Process(after(104, 1), topics_with([*before, traded(103), traded(104)], RIGHT[1:2]))
    assert started.entered() == []
    assert started.instrument.audited_bars == (1, 0, 0)


def test_a_bar_whose_trades_begin_before_the_window_is_not_compared() -> None:
    started = Process(after(104, 1), topics_with([traded(102), traded(103), traded(104)], [WRONG, RIGHT[1]]))
    assert started.entered() == []
    assert started.instrument.audited_bars == (1, 0, 1)


def test_a_bar_waits_for_trades_that_the_topic_lost_and_rest_still_has() -> None:
    started = Process(after(101), topics_with([traded(101)], [WRONG]), at_ms=2 * MINUTE)
    assert started.entered("revised") == []  # nobody knows yet whether 102 was issued
    started.receive(traded(105))
    assert started.entered("revised") == []
    # Of two minutes before the start, and kept nevertheless.
    started.fill_trades(102, 103, 104)
    assert started.revised() == [ENTERED]


def test_a_bar_waits_for_a_hole_among_its_trades() -> None:
    hole = OpenHole(101, 101, NOW_MS - 1, NOW_MS)
    started = Process(after(102, missing=(hole,)), topics_with([traded(102)], [WRONG]), at_ms=2 * MINUTE)
    assert started.entered("revised") == []
    started.fill_trades(101)
    assert started.revised() == [ENTERED]


def test_a_bar_of_which_a_trade_is_lost_for_good_is_not_compared() -> None:
    started = Process(after(102), topics_with([traded(102)], [WRONG]))
    assert started.entered() == []
    assert started.instrument.audited_bars == (0, 0, 1)


def test_bars_before_a_numbering_that_began_anew_are_not_held_to_its_trades() -> None:
    number = trade_ids.number(1, 102)
    # 101 and 102 once more, as other trades.
    anew: Any = [trade(trade_id=at, epoch=1, trade_time_ms=NOW_MS + MINUTE) for at in (101, 102)]
    known = after(102, 1, later=(FoundRange(number - 101, number, NOW_MS + MINUTE, NOW_MS + MINUTE),))
    topics = topics_with([*map(traded, (101, 102)), *anew], RIGHT[:1])
    started = Process(known, topics, at_ms=2 * MINUTE)
    assert started.entered("revised") == []
    assert started.instrument.audited_bars == (0, 0, 0)


def test_a_bar_of_the_old_numbering_holds_up_none_of_the_new_one() -> None:
    started = Process(after(101), topics_with([traded(101)], [WRONG]), at_ms=2 * MINUTE)
    times = {"trade_time_ms": NOW_MS + HOUR, "received_time_ms": NOW_MS + HOUR}
    anew: Any = [{**issued(at, (100, 5, True)), **times} for at in (1, 2)]
    started.receive(*anew)
    started.instrument.receive_newest_trades(anew, NOW_MS + HOUR)
    started.entered()
    assert started.instrument.audited_bars == (0, 0, 1)
    newest: dict[int, Made] = dict.fromkeys((1, 2), (100, 5, True))
    started.receive({**bar(1, newest), "high": "9.00000000"})
    assert started.revised() == [(NOW_MS + MINUTE, "trades say high 1.00000000")]


def hour_away() -> Process:
    """The topics lost trade 102, and nothing ran for an hour."""
    started = Process(after(101), topics_with([traded(101)], [WRONG]), at_ms=HOUR)
    started.receive({**traded(105), "trade_time_ms": NOW_MS + HOUR})
    return started


def test_after_an_hour_away_a_bar_still_gets_the_trades_it_waits_for() -> None:
    started = hour_away()
    started.fill_trades(102)
    started.fill_trades(103, 104)
    assert started.revised() == [ENTERED]


def test_trades_and_bars_of_an_hour_away_are_not_kept_as_nothing_is_compared_with_them() -> None:
    started = hour_away()
    started.fill_trades(102)
    started.fill_trades(103, 104, after_ms=HOUR // 2)
    bars = [filled(1, open_time_ms=NOW_MS + at * MINUTE, trade_count=2) for at in range(1, 60)]
    started.fill_bars(*({**one, "close_time_ms": one["open_time_ms"] + MINUTE - 1} for one in bars))
    assert started.revised() == [ENTERED]
    assert list(started.instrument._entries.candles._trades) == [105]
    assert started.instrument.audited_bars == (1, 1, 59)


def test_what_is_read_back_asks_for_nothing() -> None:
    topics = topics_with([traded(101), traded(102)], RIGHT[:1])
    with_it, without = Process(after(102), topics), Process(after(102))
    assert with_it.effects == without.effects
    assert not any(isinstance(effect, FillTrades) for effect in with_it.effects)


def test_bars_that_are_built_of_trades_are_what_their_trades_say() -> None:
    started = Process(after(102), topics_with([traded(101), traded(102)], [WRONG]), promises=TOY.promises)
    assert started.instrument.audited_bars == (0, 0, 0)
    assert started.revised() == []


@pytest.mark.parametrize("read", [NOTHING_READ, topics_with([], RIGHT[:1])])
def test_without_trades_or_without_anything_nothing_is_entered(read: ReadBack) -> None:
    assert Process(after(102), read).entered() == []
    assert Process({}, read).entered() == []
