"""Each alert rule fires on what it is for and on nothing else: the history has one of each trouble."""

from __future__ import annotations

import pytest

from grafana.alerts import RULES, Rule
from shared.intervals import INTERVAL_MS
from tests.integration.grafana.asking import Asking, Frame
from tests.integration.grafana.conftest import History
from tests.integration.grafana.history import (
    BARS,
    DEAD_LETTERS,
    LOST_TRADES,
    STALE,
    STALE_S,
    SYMBOLS,
    UNCARRIED_S,
    UNSYNCED_S,
)

FIRING: dict[str, set[tuple[str, ...]]] = {
    "book-unsynced": {("binance", "XRPUSDC")},
    "stream-uncarried": {("binance", "ETHUSDC", "trades")},
    "something-lost": {("binance", "XRPUSDC", "trades")},
    "lag-growing": {("consumer-klines-1s", "0")},
    "dead-letters": {("consumer-trades", "0")},
    "store-slow": {("binance", "quotes", "0")},
    "service-silent": {("consumer-book", "0")},
}


def firing(rule: Rule, history: History) -> set[tuple[str, ...]]:
    """The series that the rule is to fire for."""
    if rule.uid != "feed-stale":
        return FIRING[rule.uid]
    return {("binance", STALE, stream) for stream in ("quotes", "book", *late_bars(history.end_ms))}


def late_bars(end_ms: int) -> set[str]:
    """Of the stale symbol; whether a bar of 15m is overdue after ten minutes depends on the time of day."""
    stopped_ms = (end_ms // 1000 - STALE_S) * 1000
    due_ms = {
        interval: stopped_ms - stopped_ms % INTERVAL_MS[interval] + INTERVAL_MS[interval] for interval in BARS
    }
    return {f"bars of {interval}" for interval, at_ms in due_ms.items() if end_ms - at_ms > 60_000}


def ask(history: History, rule: Rule) -> list[Frame]:
    return history.over(rule.window_s).ask(rule.flux)


def values(rule: Rule, frames: list[Frame]) -> dict[tuple[str, ...], float]:
    """Series → its last value, as the rule's `reduce` gives it."""
    return {
        tuple(frame.labels[label] for label in rule.labels): float(frame.columns["_value"][-1])
        for frame in frames
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.uid)
def test_a_rule_fires_for_its_trouble_and_is_quiet_on_the_rest(history: History, rule: Rule) -> None:
    found = values(rule, ask(history, rule))
    assert {series for series, value in found.items() if value > rule.above} == firing(rule, history)
    assert len(found) > len(firing(rule, history)), "the healthy ones are watched too"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.uid)
def test_a_rule_answers_with_one_value_for_each_series(history: History, rule: Rule) -> None:
    """That is what `reduce` and labels need: a time, a number, and nothing beside the labels."""
    for frame in ask(history, rule):
        assert set(frame.columns) == {"_time", "_value"}
        assert len(frame) == 1
        assert set(frame.labels) == set(rule.labels)


def test_bars_of_a_day_are_watched(history: History) -> None:
    """The last closed one opened more than a day ago."""
    (rule,) = (rule for rule in RULES if rule.uid == "feed-stale")
    watched = {series[1:] for series in values(rule, ask(history, rule))}
    assert {(symbol, f"bars of {interval}") for symbol in SYMBOLS for interval in BARS} <= watched


def test_a_book_that_was_lost_days_ago_still_fires(history: History) -> None:
    """Its loss was said once; an alert that ends by itself would say that it is over."""
    (rule,) = (rule for rule in RULES if rule.uid == "book-unsynced")
    later_ms = history.end_ms + 2 * 86_400_000
    found = values(rule, Asking(history.server, later_ms - 600_000, later_ms, {}).ask(rule.flux))
    assert found["binance", "XRPUSDC"] == pytest.approx(2 * 86_400 + UNSYNCED_S, abs=1)
    assert found["binance", "BTCUSDC"] == 0


def test_values_say_how_much(history: History) -> None:
    by_uid = {rule.uid: rule for rule in RULES}

    def value(uid: str) -> float:
        (series,) = FIRING[uid]
        return values(by_uid[uid], ask(history, by_uid[uid]))[series]

    assert value("something-lost") == LOST_TRADES
    assert value("stream-uncarried") == pytest.approx(UNCARRIED_S, abs=1)
    assert value("dead-letters") == DEAD_LETTERS
    assert value("store-slow") == pytest.approx(6_000)
    # One second of lag in ten, over the four minutes between the means of the first and the last.
    assert value("lag-growing") == pytest.approx(24, abs=1)


def test_every_symbol_is_watched(history: History) -> None:
    (rule,) = (rule for rule in RULES if rule.uid == "book-unsynced")
    assert {symbol for _, symbol in values(rule, ask(history, rule))} == set(SYMBOLS)
