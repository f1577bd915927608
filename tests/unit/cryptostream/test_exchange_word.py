"""What the exchange says it has issued, from its answers."""

from __future__ import annotations

import pytest

from cryptostream.embedded import exchange_word
from cryptostream.embedded.evidence import Series
from cryptostream.embedded.exchange_word import (
    ask_exchange,
    closed_bars,
    counts_of_bars,
    last_closed_ms,
    word_of_recording,
)
from shared.errors import ExchangeUnavailable

REST = "http://exchange"
DAY = [
    {"symbol": "BTCUSDC", "lastId": 77, "bidPrice": "1.00", "askPrice": "2.00"},
    {"symbol": "NEWUSDC", "lastId": -1},
]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(exchange_word, "_PAUSE_S", 0.0)


class Exchange:
    """Answers by path; `failing` of them with an error first."""

    def __init__(self, answers, failing=0):
        self.answers = answers
        self.failing = failing
        self.asked = []

    def get(self, url, _timeout_s):
        self.asked.append(url)
        if self.failing:
            self.failing -= 1
            raise ExchangeUnavailable(f"{url} refuses with HTTP 503")
        return self.answers[url.removeprefix(f"{REST}/api/v3/").partition("?")[0]]


ANSWERS = {"time": {"serverTime": 1_000}, "ticker/24hr": DAY}


def test_two_requests_tell_clock_newest_ids_and_best_prices():
    exchange = Exchange(ANSWERS)
    word = ask_exchange(REST, ("BTCUSDC", "NEWUSDC"), exchange.get)
    assert (word.time_ms, word.newest_trades, word.best) == (1_000, {"BTCUSDC": 77}, {"BTCUSDC": (1.0, 2.0)})
    assert word.problem is None and len(exchange.asked) == 2


def test_a_passing_trouble_is_no_dead_exchange():
    assert ask_exchange(REST, ("BTCUSDC",), Exchange(ANSWERS, failing=2).get).problem is None


def test_a_dead_exchange_is_said_to_be():
    word = ask_exchange(REST, ("BTCUSDC",), Exchange(ANSWERS, failing=99).get)
    assert word.time_ms is None and "503" in word.problem


@pytest.mark.parametrize("answer", [{}, [], {"serverTime": "soon"}, None])
def test_an_unreadable_answer_is_none(answer):
    word = ask_exchange(REST, ("BTCUSDC",), Exchange({**ANSWERS, "time": answer}).get)
    assert word.problem is not None and "cannot be read" in word.problem


def test_bars_that_the_exchange_has_are_told_from_its_silence():
    series = Series("币安人生USDT", "klines", "1m")
    exchange = Exchange({"klines": [[60_000, *"1234567", 3], [120_000, *"1234567", 0]]})
    assert closed_bars(REST, series, 60_000, 120_000, exchange.get) == [60_000, 120_000]
    assert exchange.asked[0].isascii()
    assert counts_of_bars(REST, series, 60_000, 120_000, exchange.get) == {60_000: 3, 120_000: 0}
    assert closed_bars(REST, series, 60_000, 120_000, Exchange({}, failing=99).get) is None


def test_the_last_closed_bar_is_the_one_before_the_open_one():
    assert last_closed_ms("1m", 180_000) == 120_000
    assert last_closed_ms("1m", 179_999) == 60_000


def test_a_recordings_word_is_what_was_played():
    state = {
        "now_ms": 5,
        "newest_trades": {"X": 3},
        "newest_bars": [["X", "1m", 60_000]],
        "newest_ms": {"x@trade": 4},
        "unreadable": {"x@trade": 2},
    }
    word = word_of_recording(state)
    assert word.newest_bars == {Series("X", "klines", "1m"): 60_000}
    assert word.newest_trades == {"X": 3} and word.unreadable == {"x@trade": 2}
