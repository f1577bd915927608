"""What a run must have is what was issued since its producers listened, and never less by their silence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from consumers.stores.sqlite import SqliteStore
from consumers.stores.sqlite_reader import SqliteReader
from cryptostream.run.proof import inspection as module
from cryptostream.run.proof.checks import Series, Status
from cryptostream.run.proof.exchange_state import ExchangeState
from cryptostream.run.proof.inspection import Asked, Inspection, Producers
from cryptostream.run.proof.recounting import Claim
from producers.exchanges.binance.exchange import BINANCE
from producers.exchanges.kraken.exchange import KRAKEN
from producers.exchanges.port import Exchange
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries
from tests.builders import NOW_MS

SYMBOL = "BTCUSDC"


class AtOnce:
    """`BackgroundQuery` without a thread."""

    def __init__(self, ask: Callable[[], ExchangeState], _before: ExchangeState | None = None) -> None:
        self.answer = ask()


class Market:
    """An exchange whose newest trade is `newest`, and producers that report `metrics`."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, exchange: Exchange = BINANCE) -> None:
        monkeypatch.setattr(module, "query_exchange", self.query)
        monkeypatch.setattr(module, "BackgroundQuery", AtOnce)
        self.newest = 100
        self.entered: dict[Series, int] = {}
        self.metrics: Mapping[str, Any] | None = None
        self.claims: dict[LedgerSeries, Claim] = {}
        self.compared_bars = 0
        SqliteStore(path, ticks_expiry_ns=None).close()
        tail: Any = SimpleNamespace(
            newest_ms=lambda _: None,
            entered=lambda _: self.entered,
            first_trades=lambda _: {},
            uncarried=lambda _: (),
            claims=lambda _: self.claims,
        )
        asked = Asked(exchange, (SYMBOL,), ("1d",), "http://exchange", recording=False, warm=False)
        simulator: Any = None
        producers = Producers(lambda: self.metrics, lambda: self.compared_bars)
        self.inspection = Inspection(asked, tail, lambda: SqliteReader(path), simulator, producers)

    def query(self, _audit: Any, _url: str, _symbols: Sequence[str]) -> ExchangeState:
        return ExchangeState(NOW_MS, NOW_MS, {SYMBOL: self.newest}, {})

    def end(self) -> None:
        self.inspection.ask_again()

    def faults(self) -> list[tuple[str, Status]]:
        results, _ = self.inspection.results(8.0)
        return [(each.subject, each.status) for each in results if each.status is not Status.OK]


@pytest.fixture
def market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Market:
    return Market(tmp_path / "store.db", monkeypatch)


def test_what_was_issued_before_the_producers_listened_is_not_expected(market: Market) -> None:
    market.newest = 110
    market.metrics = {"messages": 3}
    market.inspection.tick()
    market.end()
    assert market.inspection.caught_up()
    assert market.faults() == []


def test_producers_that_listen_after_the_last_question_prove_only_what_has_begun(market: Market) -> None:
    market.newest = 110
    market.end()
    market.metrics = {"messages": 3}
    market.inspection.tick()
    assert market.inspection.caught_up()
    assert market.faults() == [(SYMBOL, Status.UNKNOWN)]
    market.entered[Series(SYMBOL, "trades")] = 111
    assert market.faults() == []


def test_producers_that_never_report_have_missed_all_of_the_run(market: Market) -> None:
    market.newest = 110
    market.end()
    assert not market.inspection.caught_up()
    assert market.faults() == [("streams", Status.UNKNOWN), (f"{SYMBOL} trades", Status.MISSING)]


def test_streams_over_which_nothing_came_prove_nothing(market: Market) -> None:
    market.metrics = {"messages": 0}
    market.inspection.tick()
    market.end()
    assert market.faults() == [("streams", Status.UNKNOWN)]


def compared(market: Market) -> list[str]:
    _, checked = market.inspection.results(8.0)
    return [part for part in checked.split(", ") if "bars with those" in part]


def test_how_many_bars_were_held_to_their_trades_is_said(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.end()
    assert compared(market) == []
    market.claims = {
        LedgerSeries("binance", SYMBOL, "klines", "1d"): Claim(IdRanges([(1, 300), (302, 311)])),
        LedgerSeries("binance", SYMBOL, "trades", ""): Claim(IdRanges([(1, 100)])),
    }
    market.compared_bars = 12
    assert compared(market) == ["the values of 12 of 310 bars with those of their trades"]
    # Another producer on the same broker may have compared more.
    market.compared_bars = 400
    assert compared(market) == ["the values of 310 of 310 bars with those of their trades"]
    # Bars that we build are sums of their trades.
    sums = Market(tmp_path / "built.db", monkeypatch, KRAKEN)
    sums.claims = market.claims
    sums.end()
    assert compared(sums) == []
