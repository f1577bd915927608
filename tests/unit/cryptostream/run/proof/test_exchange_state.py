"""What the exchange says it has issued, from its answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cryptostream.run.proof import exchange_state
from cryptostream.run.proof.checks import Series
from cryptostream.run.proof.exchange_state import (
    ExchangeState,
    last_closed_ms,
    query_exchange,
    reconciled_clock,
    recording_state,
    trade_counts,
)
from producers.exchanges.binance.exchange import BINANCE
from shared.errors import ExchangeUnavailable

REST = "http://exchange"
DAY = [
    {"symbol": "BTCUSDC", "lastId": 77, "bidPrice": "1.00", "askPrice": "2.00"},
    {"symbol": "NEWUSDC", "lastId": -1},
]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_state, "_PAUSE_S", 0.0)


class Exchange:
    """Answers by path; `failing` of them with an error first."""

    def __init__(self, answers: Mapping[str, Any], failing: int = 0) -> None:
        self.answers = answers
        self.failing = failing
        self.asked: list[str] = []

    def get(self, url: str, _timeout_s: float) -> Any:
        self.asked.append(url)
        if self.failing:
            self.failing -= 1
            raise ExchangeUnavailable(f"{url} refuses with HTTP 503")
        return self.answers[url.removeprefix(f"{REST}/api/v3/").partition("?")[0]]


ANSWERS = {"time": {"serverTime": 1_000}, "ticker/24hr": DAY}


def test_two_requests_tell_clock_newest_ids_and_best_prices() -> None:
    exchange = Exchange(ANSWERS)
    word = query_exchange(BINANCE.audit, REST, ("BTCUSDC", "NEWUSDC"), exchange.get)
    assert (word.time_ms, word.newest_trades, word.best) == (1_000, {"BTCUSDC": 77}, {"BTCUSDC": (1.0, 2.0)})
    assert word.problem is None and len(exchange.asked) == 2


def test_a_passing_trouble_is_no_dead_exchange() -> None:
    assert query_exchange(BINANCE.audit, REST, ("BTCUSDC",), Exchange(ANSWERS, failing=2).get).problem is None


def test_a_dead_exchange_is_said_to_be() -> None:
    word = query_exchange(BINANCE.audit, REST, ("BTCUSDC",), Exchange(ANSWERS, failing=99).get)
    assert word.time_ms is None and "503" in str(word.problem)


@pytest.mark.parametrize("answer", [{}, [], {"serverTime": "soon"}, None])
def test_an_unreadable_answer_is_none(answer: Any) -> None:
    word = query_exchange(BINANCE.audit, REST, ("BTCUSDC",), Exchange({**ANSWERS, "time": answer}).get)
    assert word.problem is not None and "cannot be read" in word.problem


def test_bars_that_the_exchange_has_are_told_from_its_silence() -> None:
    series = Series("币安人生USDT", "klines", "1m")
    exchange = Exchange({"klines": [[60_000, *"1234567", 3], [120_000, *"1234567", 0]]})
    assert trade_counts(BINANCE.audit, REST, series, 60_000, 120_000, exchange.get) == {60_000: 3, 120_000: 0}
    assert exchange.asked[0].isascii()
    assert trade_counts(BINANCE.audit, REST, series, 60_000, 120_000, Exchange({}, failing=99).get) is None


def test_the_last_closed_bar_is_the_one_before_the_open_one() -> None:
    assert last_closed_ms("1m", 180_000) == 120_000
    assert last_closed_ms("1m", 179_999) == 60_000


def test_a_recordings_word_is_what_was_played() -> None:
    state = {
        "now_ms": 5,
        "newest_trades": {"X": 3},
        "newest_bars": [["X", "1m", 60_000]],
        "newest_ms": {"x@trade": 4},
        "unreadable": {"x@trade": 2},
    }
    word = recording_state(state)
    assert word.newest_bars == {Series("X", "klines", "1m"): 60_000}
    assert word.newest_trades == {"X": 3} and word.unreadable == {"x@trade": 2}


BEGAN_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


def said(after_s: float, time_ms: int | None) -> ExchangeState:
    return ExchangeState(0, time_ms, time_asked_s=after_s, time_heard_s=after_s + 0.25)


def reconciled(
    time_ms: int | None, newest_ms: int | None = None, began_ms: int | None = BEGAN_MS
) -> tuple[int | None, str | None]:
    """Of a run that took 40 s."""
    return reconciled_clock(said(0, began_ms), said(40, time_ms), newest_ms)


@pytest.mark.parametrize("off_ms", [-1_900, 0, 1_900])
def test_a_clock_that_runs_on_is_believed(off_ms: int) -> None:
    assert reconciled(BEGAN_MS + 40_000 + off_ms, BEGAN_MS + 38_000) == (BEGAN_MS + 40_000 + off_ms, None)


def test_a_clock_that_falls_back_hides_nothing() -> None:
    time_ms, contradiction = reconciled(BEGAN_MS + 40_000 - HOUR_MS, BEGAN_MS + 31_000)
    assert time_ms == BEGAN_MS + 40_250
    assert contradiction is not None and "2023-11-14 21:14:00" in contradiction


def test_a_clock_behind_the_newest_event_hides_nothing_either() -> None:
    time_ms, contradiction = reconciled(BEGAN_MS - HOUR_MS, BEGAN_MS + 31_000, began_ms=None)
    assert (time_ms, contradiction is None) == (BEGAN_MS + 31_000, False)


def test_a_clock_far_ahead_of_everything_is_not_believed() -> None:
    time_ms, contradiction = reconciled(BEGAN_MS + 720 * HOUR_MS, BEGAN_MS + 39_000)
    assert (time_ms, contradiction is None) == (BEGAN_MS + 720 * HOUR_MS, False)


def test_events_vouch_for_a_clock_after_the_host_has_slept() -> None:
    assert reconciled(BEGAN_MS + HOUR_MS, BEGAN_MS + HOUR_MS - 4_000) == (BEGAN_MS + HOUR_MS, None)


def test_an_exchange_that_does_not_tell_the_time_contradicts_nothing() -> None:
    assert reconciled(None, BEGAN_MS) == (None, None)
