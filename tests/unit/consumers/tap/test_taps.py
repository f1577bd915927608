"""What taps accept, without a broker: nothing is read before `start`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from consumers.tap import taps as module
from consumers.tap.port import Fetched
from consumers.tap.series import LiveSeries
from consumers.tap.taps import KafkaTaps, open_taps
from shared.errors import SettingsError, UsageError
from shared.settings import Settings
from tests.unit.consumers.tap.partitions import FakePartitions

BTC = ("binance", "BTCUSDC")


def opened(
    events: list[Any], address: str = "127.0.0.1:1", symbols: tuple[str, ...] = ("BTCUSDC",)
) -> KafkaTaps:
    return open_taps(
        Settings(
            symbols=symbols, intervals=("1m",), indicators=("momentum_rsi",), kafka_bootstrap_servers=address
        ),
        memory_broker=False,
        open_reader=None,
        rebuild_from_store=False,
        on_events=events.extend,
        on_failure=events.append,
    )


@pytest.fixture
def events() -> list[Any]:
    return []


@pytest.fixture
def taps(events: list[Any]) -> Iterator[KafkaTaps]:
    taps = opened(events)
    yield taps
    taps.close()


def test_a_broker_must_be_named(events: list[Any]) -> None:
    with pytest.raises(SettingsError, match="KAFKA_BOOTSTRAP_SERVERS"):
        opened(events, "")


@pytest.mark.parametrize(
    ("series", "words"),
    [
        (LiveSeries("kline", (*BTC, "1h")), "choose from 1m"),
        (LiveSeries("open_bar", (*BTC, "7m")), "choose from 1m"),
        (LiveSeries("trade_summary", (*BTC, "1h")), "1s or 1m"),
        (LiveSeries("weather", BTC), "weather"),
    ],
)
def test_a_series_that_is_not_read_is_refused(taps: KafkaTaps, series: LiveSeries, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        taps.activate(series)


def test_no_more_instruments_are_followed_than_there_is_room_for(
    taps: KafkaTaps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_INSTRUMENTS", 2)
    for _ in range(3):
        taps.activate(LiveSeries("kline", (*BTC, "1m")))
        taps.activate(LiveSeries("trade", BTC))
        taps.activate(LiveSeries("ledger", (*BTC, "trades", "")))
    with pytest.raises(UsageError, match="instruments"):
        taps.activate(LiveSeries("quote", BTC))


@pytest.mark.parametrize("name", ["kline", "quote"])
def test_older_rows_that_nobody_can_read_are_refused_with_the_reason(
    taps: KafkaTaps, events: list[Any], name: str
) -> None:
    taps.fetch(5, LiveSeries(name, (*BTC, "1m")), 0)
    (answer,) = events
    assert isinstance(answer, Fetched) and answer.rows is None and "not read" in answer.reason


def test_no_event_comes_after_the_end(events: list[Any]) -> None:
    taps = opened(events)
    taps.close()
    taps.fetch(5, LiveSeries("quote", BTC), 0)
    assert events == []


def test_instruments_that_are_not_configured_leave_room_and_can_be_dropped(
    taps: KafkaTaps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_UNCONFIGURED", 2)
    taps.activate(LiveSeries("kline", ("binance", "NOPE", "1m")))  # bars, and their trades
    with pytest.raises(UsageError, match="2 instruments are followed already; ask again later"):
        taps.activate(LiveSeries("quote", ("binance", "NOPE")))
    for name in ("trade", "quote", "levels"):
        taps.activate(LiveSeries(name, BTC))
    taps.drop("binance", "NOPE")
    taps.activate(LiveSeries("quote", ("binance", "OTHER")))


def test_fills_of_others_hold_up_none_of_a_configured_instrument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.KafkaTaps, "_open", lambda _self, _incarnations: FakePartitions())
    taps = opened([])
    held, begun = threading.Event(), threading.Event()

    def slow(_reader: Any) -> None:
        held.wait(10)

    accepted = [taps._run_fill(b"binance:NOPE", {}, slow, lambda: True) for _ in range(100)]
    assert 0 < sum(accepted) <= 17
    assert taps._run_fill(b"binance:BTCUSDC", {}, lambda _reader: begun.set(), lambda: True)
    assert begun.wait(10)
    held.set()
    taps.close()


def test_the_same_symbol_is_configured_for_its_exchange_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNCONFIGURED", 1)
    taps = opened([], symbols=("BTCUSDC", "kraken:BTC/USD"))
    taps.activate(LiveSeries("quote", ("coinbase", "BTC/USD")))
    for exchange, symbol in (("kraken", "BTC/USD"), BTC):
        taps.activate(LiveSeries("quote", (exchange, symbol)))
    with pytest.raises(UsageError, match="1 instruments are followed already"):
        taps.activate(LiveSeries("quote", ("binance", "BTC/USD")))
    taps.close()
