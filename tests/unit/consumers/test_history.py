"""What the store is asked for when state is missing, and in which form it comes back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest

from consumers.enrich.book import BookEnricher
from consumers.enrich.klines import KlineEnricher
from consumers.enrich.port import Known
from consumers.enrich.trades import TradeEnricher
from consumers.history import StoreHistory
from shared.errors import StoreUnavailable
from tests.builders import NOW_MS, kline, trade
from tests.consumer_doubles import SumOfCloses

MINUTE_MS = 60_000
TAGS = {"exchange": "binance", "symbol": "BTCUSDC"}
Asked = tuple[str, Mapping[str, str], Mapping[str, int | None]]


class Rows:
    """A store's reader."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = rows
        self.asked: list[Asked] = []

    def read(
        self, measurement: str, tags: Mapping[str, str], **bounds: int | None
    ) -> Iterator[dict[str, Any]]:
        self.asked.append((measurement, tags, bounds))
        return iter(self.rows)

    def close(self) -> None:
        """Nothing is open."""


class Trades(TradeEnricher):
    """Does not know one symbol, whose minutes are whole from one on."""

    def __init__(self, whole_from: int | None) -> None:
        super().__init__()
        self.whole_from = whole_from
        self.seeded: list[Any] = []

    def unknown_symbols(self, _records: Any) -> Any:
        return {("binance", "BTCUSDC"): (3, self.whole_from)}

    def seed(self, exchange: str, symbol: str, partition: int, first: int, trades: Iterable[Any]) -> None:
        self.seeded.append((exchange, symbol, partition, first, list(trades)))


class Bars(KlineEnricher):
    def __init__(self) -> None:
        super().__init__("1m", SumOfCloses(), live_interval_ms=0)
        self.seeded: list[Any] = []

    def unknown_series(self, _records: Any) -> Any:
        return {("binance", "BTCUSDC"): 4}

    def seed(self, exchange: str, symbol: str, partition: int, bars: Iterable[Any]) -> None:
        self.seeded.append((exchange, symbol, partition, list(bars)))
        super().seed(exchange, symbol, partition, ())


def stored_trade(time_ms: int) -> dict[str, Any]:
    return {
        "trade_id": 7, "time_ns": time_ms * 1_000_000, "price": 0.1, "quantity": 25.0, "buyer_is_maker": True,
    }  # fmt: skip


@pytest.mark.parametrize(("whole_from", "minutes"), [(None, 0), (-2, 2), (5, 0)])
def test_trades_are_read_from_the_newest_minute_or_the_first_one_that_is_not_whole(
    whole_from: int | None, minutes: int
) -> None:
    minute = NOW_MS // MINUTE_MS
    reader = Rows(stored_trade(NOW_MS + 1_500))
    enricher = Trades(None if whole_from is None else minute + whole_from)
    StoreHistory(reader).seed(enricher, [])
    first = minute - minutes
    assert reader.asked == [
        ("trade", TAGS, {"last": 1}),
        ("trade", TAGS, {"from_ns": first * MINUTE_MS * 1_000_000}),
    ]
    ((*series, trades),) = enricher.seeded
    assert series == ["binance", "BTCUSDC", 3, first]
    assert [tuple(each) for each in trades] == [(7, NOW_MS + 1_500, "0.1", "25.0", True)]


def test_a_symbol_without_stored_trades_is_left_to_its_first_ones() -> None:
    enricher = Trades(None)
    StoreHistory(Rows()).seed(enricher, [])
    assert enricher.seeded == []


def test_all_bars_of_a_series_are_read() -> None:
    row = {
        "time_ns": NOW_MS * 1_000_000,
        "open": 1.0,
        "high": 4.0,
        "low": 0.5,
        "close": 2.0,
        "base_volume": 9.0,
    }
    reader, enricher = Rows(row), Bars()
    StoreHistory(reader, "1m").seed(enricher, [])
    assert reader.asked == [("kline", {**TAGS, "interval": "1m"}, {})]
    ((*series, bars),) = enricher.seeded
    assert series == ["binance", "BTCUSDC", 4]
    assert [tuple(bar) for bar in bars] == [(NOW_MS, 1.0, 4.0, 0.5, 2.0, 9.0)]


def stored_bar(open_time_ms: int) -> dict[str, Any]:
    return {
        "time_ns": open_time_ms * 1_000_000,
        "open": 100.0,
        "high": 102.0,
        "low": 99.0,
        "close": 101.0,
        "base_volume": 10.0,
        "quote_volume": 1005.0,
        "taker_buy_base_volume": 6.0,
        "taker_buy_quote_volume": 603.0,
        "trade_count": 12,
    }


@pytest.mark.parametrize(("close", "kinds"), [("101.0", {"stored"}), ("101.5", {"stored", "revised"})])
def test_a_bar_that_comes_with_other_values_than_the_stored_ones_is_revised(
    close: str, kinds: set[str]
) -> None:
    enricher = KlineEnricher(
        "1m", SumOfCloses(), live_interval_ms=0, keeps_state=False, rebuilt_from_store=True
    )
    enricher.assign(0, Known(0, 0))
    rows = [stored_bar(NOW_MS + number * MINUTE_MS) for number in range(40)]
    records = [(0, 0, kline(open_time_ms=NOW_MS + 39 * MINUTE_MS, close=close))]
    StoreHistory(Rows(*rows), "1m").seed(enricher, records)
    assert {event["kind"] for event in enricher.receive(records, 0).events.messages(0)} == kinds


def test_a_stored_bar_that_lacks_a_value_is_compared_with_none() -> None:
    enricher = KlineEnricher("1m", SumOfCloses(), live_interval_ms=0, keeps_state=False)
    row = {name: value for name, value in stored_bar(NOW_MS).items() if name != "quote_volume"}
    records = [(0, 0, kline(open_time_ms=NOW_MS))]
    StoreHistory(Rows(row), "1m").seed(enricher, records)
    assert {event["kind"] for event in enricher.receive(records, 0).events.messages(0)} == {"stored"}


class Breaking(Rows):
    """The store goes away amid the answer, once."""

    def read(
        self, measurement: str, tags: Mapping[str, str], **bounds: int | None
    ) -> Iterator[dict[str, Any]]:
        first = len(self.asked) == 0 if measurement == "kline" else len(self.asked) == 1
        rows = super().read(measurement, tags, **bounds)
        return self._broken(rows) if first else rows

    @staticmethod
    def _broken(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        yield next(rows)
        raise StoreUnavailable("INFLUX_URL: nothing answers")


def test_bars_of_which_the_store_gave_a_part_are_read_again_as_a_whole() -> None:
    rows = [stored_bar(NOW_MS + number * MINUTE_MS) for number in range(5)]
    records = [(0, 0, kline(open_time_ms=NOW_MS + 5 * MINUTE_MS))]

    def seeded(reader: Rows, tries: int) -> list[Any]:
        enricher = KlineEnricher("1m", SumOfCloses(), live_interval_ms=0, keeps_state=False)
        history = StoreHistory(reader, "1m")
        for _ in range(tries - 1):
            with pytest.raises(StoreUnavailable):
                history.seed(enricher, records)
        history.seed(enricher, records)
        return enricher.receive(records, 0).points

    assert seeded(Breaking(*rows), 2) == seeded(Rows(*rows), 1)


def test_trades_of_which_the_store_gave_a_part_are_read_again_as_a_whole() -> None:
    rows = [stored_trade(NOW_MS + number) | {"trade_id": number} for number in range(5)]
    records = [(0, 0, trade(trade_id=5, trade_time_ms=NOW_MS + 9, received_time_ms=NOW_MS + 9))]
    enricher, history = TradeEnricher(), StoreHistory(Breaking(*rows))
    with pytest.raises(StoreUnavailable):
        history.seed(enricher, records)
    history.seed(enricher, records)
    (*_, minute) = enricher.receive(records, 0).points
    assert (minute.series.tags[2], minute.values[0]) == ("1m", 6)


def test_nothing_is_read_for_what_keeps_no_state_in_the_store() -> None:
    reader = Rows()
    StoreHistory(reader).seed(BookEnricher(), [])
    assert reader.asked == []
