"""Bars that an instrument builds: when the clock may close them, and when it may not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from producers.effects import Effect, ProbeResult, ProbeStreams, Publish, Resubscribe
from producers.exchanges.kraken.exchange import KRAKEN
from producers.instrument import Instrument
from producers.start_positions import FoundRange, StartPosition
from shared.topics import klines_topic
from shared.trade_ids import number
from tests.builders import trade

# A whole hour.
T = 1_785_765_600_000
SECOND = 1_000
CONNECTION, NEXT = "one", "next"


def trade_at(trade_id: int, after_ms: int, **fields: Any) -> Any:
    times = {"trade_time_ms": T + after_ms, "event_time_ms": T + after_ms, "received_time_ms": T + after_ms}
    return trade(exchange="kraken", symbol="BTC/USD", trade_id=trade_id, **times | fields)


def built() -> Instrument:
    return Instrument(
        "kraken", "BTC/USD", ["1s"], book_interval_ms=0, warmup_bars=0, promises=KRAKEN.promises
    )


class Market:
    """An instrument of Kraken, begun with trade 100 just before T, and followed second by second."""

    def __init__(self) -> None:
        self.instrument = built()
        self.instrument.begin({}, T)
        self.instrument.follow(CONNECTION, T)
        self.instrument.reopened(0.0)
        self.instrument.receive_history(T, [trade_at(100, -5, source="backfill")], T)
        self.instrument.receive_history(T, (), T)
        self.asked: list[ProbeStreams] = []

    def takes(self, *trades: Any) -> list[tuple[int, int]]:
        return bars_of([e for each in trades for e in self.instrument.receive("trade", each)])

    def at(self, second: float) -> list[tuple[int, int]]:
        """What the clock closes."""
        at_ms = T + round(second * SECOND)
        effects = self.instrument.watch(second, at_ms, at_ms, brought_to_ms=at_ms)
        self.asked += [effect for effect in effects if isinstance(effect, ProbeStreams)]
        return bars_of(effects)

    def until(self, first: int, last: int) -> list[tuple[int, int]]:
        return [bar for second in range(first, last + 1) for bar in self.at(second)]


def bars_of(effects: Sequence[Effect]) -> list[tuple[int, int]]:
    """In which second after T each closed bar opens, and its number of trades."""
    return [
        ((effect.message["open_time_ms"] - T) // SECOND, effect.message["trade_count"])
        for effect in effects
        if isinstance(effect, Publish) and effect.topic == klines_topic("1s")
    ]


@pytest.fixture
def market() -> Market:
    market = Market()
    market.takes(trade_at(101, 500))
    return market


def test_the_clock_closes_bars_while_the_stream_is_carried(market: Market) -> None:
    assert market.until(1, 5) == [(0, 1), (1, 0), (2, 0)]


def test_while_trades_are_doubtful_no_bar_is_closed_and_then_each_has_its_trades(market: Market) -> None:
    anew = [trade_at(each, 60_000 + each * SECOND) for each in range(1, 6)]
    assert market.until(1, 60)[-1] == (57, 0)
    assert market.takes(*anew) == []
    assert market.until(61, 90) == []
    effects = market.instrument.receive_newest_trades(anew, T + 90_000)
    assert bars_of(effects) == [
        *((second, 0) for second in (58, 59, 60)),
        *((60 + n, 1) for n in range(1, 5)),
    ]


def test_while_only_the_id_of_the_newest_trade_is_known_no_bar_is_closed(market: Market) -> None:
    market.until(1, 10)
    issued = ProbeResult(None, 103, T + 9_000)
    market.instrument.receive_probe(issued, 10.0, T + 10_000)
    assert market.until(11, 13)[-1] == (10, 0)  # the stream may bring it
    market.until(14, 16)
    assert market.instrument.missing_trades == 2
    # The stream speaks again of an older trade: the newest is still to come.
    market.takes(trade_at(102, 10_500))
    assert market.until(17, 30) == []


# --- What the stream may have withheld unseen. ---


def probed(market: Market, newest_id: int, second: float) -> None:
    at_ms = T + round(second * SECOND)
    market.instrument.receive_probe(ProbeResult(None, newest_id, at_ms), second, at_ms)


def test_an_unreadable_frame_stops_the_clock_until_a_higher_id_has_come(market: Market) -> None:
    market.until(1, 5)
    market.instrument.doubt_trades()
    market.takes(trade_at(101, 500))
    assert market.until(6, 9) == []
    assert market.takes(trade_at(103, 9_500)) == []
    assert market.until(10, 14) == []  # now the missing one is known
    rows = [trade_at(102, 4_500, source="backfill")]
    effects = market.instrument.receive_trade_rows(102, 102, rows, T + 14_000, now_s=14.0)
    assert bars_of(effects)[:2] == [(3, 0), (4, 1)]


def test_rest_ends_the_doubt_only_if_it_was_asked_after_it(market: Market) -> None:
    market.until(1, 9)
    assert market.asked
    market.instrument.doubt_trades()
    probed(market, 101, 9.5)
    assert market.until(10, 12) == []
    market.asked.clear()
    second = 13
    while not market.asked:
        assert market.at(second) == []
        second += 1
    probed(market, 101, second)
    assert market.at(second) != []


def test_an_answer_during_an_outage_does_not_close_it_flat(market: Market) -> None:
    market.until(1, 5)
    market.instrument.disconnected("cut", T + 5_000)
    for second in range(6, 40):
        market.instrument.watch(float(second), T + second * SECOND, T + second * SECOND)
        probed(market, 101, second)
    market.instrument.follow(NEXT, T + 40_000)
    market.instrument.reopened(40.0)
    assert market.at(40.1) == []
    market.takes(trade_at(101, 500, event_time_ms=None), trade_at(102, 20_500, event_time_ms=None))
    assert (20, 1) in market.until(41, 42)


def test_a_connection_that_is_cut_while_the_next_one_is_dialled_is_an_outage(market: Market) -> None:
    market.until(1, 5)
    market.instrument.ended(CONNECTION, T + 5_000, cut=True)
    assert market.until(6, 9) == []


def test_a_connection_that_another_has_replaced_ends_unnoticed(market: Market) -> None:
    market.until(1, 5)
    market.instrument.ended(CONNECTION, T + 5_000, cut=False)
    assert market.until(6, 7) == [(3, 0), (4, 0)]


# --- Ids that have begun anew before a restart. ---


def test_built_bars_on_the_topic_beyond_the_progress_are_expected() -> None:
    instrument = built()
    later = (FoundRange(T, T + 2 * SECOND, T, T + 2 * SECOND),)
    instrument.begin({"kraken:BTC/USD:klines:1s": StartPosition(T - SECOND, later=later)}, T + 4 * SECOND)
    (expected,) = [each.message for each in instrument.tick() if each.message["kind"] == "expected"]
    assert (expected["stream"], expected["first"], expected["last"]) == ("klines", T, T + 2 * SECOND)


def test_after_a_restart_in_a_later_numbering_missing_trades_hold_their_bars() -> None:
    instrument = built()
    instrument.begin({"kraken:BTC/USD:trades": StartPosition(number(1, 100), time_ms=T - 5)}, T)
    instrument.receive_history(T, [trade_at(100, -5, source="backfill")], T)
    instrument.receive_history(T, (), T)
    effects = instrument.receive("trade", trade_at(103, 2_500))
    assert bars_of(effects) == []
    rows = [trade_at(each, each * 10 - 900, source="backfill", epoch=1) for each in (101, 102)]
    effects = instrument.receive_trade_rows(number(1, 101), number(1, 102), rows, T + 3_000, now_s=3.0)
    assert bars_of(effects) == [(0, 2), (1, 0)]


@pytest.mark.parametrize("connected", [True, False])
def test_a_book_that_does_not_come_is_asked_for_again_while_its_connection_is_read(connected: bool) -> None:
    market = Market().instrument
    effects = [
        effect
        for second in range(20)
        for effect in market.watch(
            second, T + second * SECOND, T, brought_to_ms=T + second * SECOND if connected else None
        )
    ]
    asked = [effect.connection for effect in effects if isinstance(effect, Resubscribe)]
    assert asked == ([CONNECTION] if connected else [])
