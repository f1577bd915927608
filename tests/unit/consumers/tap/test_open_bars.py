from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from consumers.tap.open_bars import OpenBars
from consumers.tap.port import Arrived, Event, Filled
from tests.builders import kline, trade

OPEN_MS = 1_785_767_100_000 // 60_000 * 60_000
BTC, MINUTE, HOUR = ("binance", "BTCUSDC"), ("binance", "BTCUSDC", "1m"), ("binance", "BTCUSDC", "1h")


def update(last_id: int, count: int, interval: str = "1m") -> Any:
    step = {"1m": 60_000, "1h": 3_600_000}[interval]
    return kline(
        interval=interval,
        open_time_ms=OPEN_MS - OPEN_MS % step,
        closed=False,
        last_trade_id=last_id,
        trade_count=count,
    )


def traded(*ids: int) -> list[Any]:
    return [trade(trade_id=number, trade_time_ms=OPEN_MS + number) for number in ids]


class Told(list[Event]):
    def receive(self, events: Sequence[Event]) -> None:
        self += events

    def counts(self) -> list[tuple[str, str, list[Any]]]:
        return [
            (type(event).__name__, event.series.tags[2], [row.values[8] for row in event.rows])
            for event in self
            if isinstance(event, Filled | Arrived)
        ]


def test_nothing_is_told_of_a_bar_before_it_is_shown() -> None:
    told = Told()
    bars = OpenBars(told.receive)
    bars.begin(MINUTE)
    bars.update(MINUTE, [update(4, 4)])
    bars.trade(BTC, traded(5))
    assert told == []
    bars.show(MINUTE)
    bars.trade(BTC, traded(6, 7))
    bars.update(MINUTE, [update(8, 8)])
    assert told.counts() == [("Filled", "1m", [5]), ("Arrived", "1m", [7]), ("Arrived", "1m", [8])]


def test_trades_move_all_intervals_of_their_instrument() -> None:
    told = Told()
    bars = OpenBars(told.receive)
    for tags in (MINUTE, HOUR, ("binance", "ETHUSDC", "1m")):
        bars.begin(tags)
        bars.show(tags)
    bars.update(MINUTE, [update(4, 4)])
    bars.update(HOUR, [update(4, 40, "1h")])
    told.clear()
    bars.trade(BTC, traded(5))
    assert told.counts() == [("Arrived", "1m", [5]), ("Arrived", "1h", [41])]


def test_an_interval_that_is_viewed_later_has_the_trades_before() -> None:
    told = Told()
    bars = OpenBars(told.receive)
    bars.trade(BTC, traded(*range(1, 10)))
    bars.begin(MINUTE)
    bars.update(MINUTE, [update(4, 4)])
    bars.show(MINUTE)
    assert told.counts() == [("Filled", "1m", [9])]


def test_a_series_that_is_dropped_in_the_midst_of_its_fill_is_silent() -> None:
    told = Told()
    bars = OpenBars(told.receive)
    bars.begin(MINUTE)
    bars.trade(BTC, traded(1))
    bars.drop(MINUTE)
    bars.drop_trades(BTC)
    bars.update(MINUTE, [update(1, 1)])
    bars.show(MINUTE)
    bars.trade(BTC, traded(2))
    assert told == []
