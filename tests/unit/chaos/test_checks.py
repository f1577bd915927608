"""A run is checked against what was issued, against another run, and against its own ledger."""

from __future__ import annotations

import pytest

from chaos.checks import (
    against_bars,
    against_claims,
    against_exchange_log,
    against_export,
    against_topics,
    indicators_apart,
    recomputed,
)
from chaos.exchange_log import BAR_FIELDS, ExchangeLog
from chaos.ledger_oracle import Claims
from chaos.market import Window
from chaos.store_export import Export
from chaos.topic_invariants import TopicReport
from consumers.indicators.registry import indicator_set
from shared.id_ranges import IdRanges
from shared.messages import LedgerMessage
from tests.builders import ledger

SERIES = ("BTCUSDC", "1m")
MINUTE_MS = 60_000
BARS = 40
WINDOW = Window(10 * MINUTE_MS, BARS * MINUTE_MS)
INDICATORS = indicator_set(("momentum_rsi", "volume_obv"))


@pytest.fixture
def exchange_log() -> ExchangeLog:
    issued = ExchangeLog()
    for n in range(BARS):
        numbers = dict.fromkeys(BAR_FIELDS, f"{100 + n % 7}.5") | {"high": "110", "low": "90"}
        bar = {"symbol": SERIES[0], "interval": SERIES[1], "open_time_ms": n * MINUTE_MS, **numbers}
        issued.receive({"kind": "kline", **bar})
        trade = {"trade_id": n, "price": "1.5", "quantity": "2", "trade_time_ms": n * MINUTE_MS}
        issued.receive({"kind": "trade", "symbol": SERIES[0], **trade, "buyer_is_maker": True})
    return issued


@pytest.fixture
def export(exchange_log: ExchangeLog) -> Export:
    """A store that has all of the window."""
    values = recomputed(INDICATORS, exchange_log.bars[SERIES], 0)
    inside = [at for at in exchange_log.bars[SERIES] if WINDOW.has_bar(at, MINUTE_MS)]
    return Export(
        WINDOW,
        INDICATORS.columns,
        {SERIES[0]: [exchange_log.trades[SERIES[0]][n] for n in range(10, BARS)]},
        {SERIES: {at: exchange_log.bars[SERIES][at] for at in inside}},
        {SERIES: {at: values[at] for at in inside}},
    )


def claims(*events: LedgerMessage) -> Claims:
    made = Claims()
    for event in events:
        made.receive(event)
    return made


def test_a_whole_store_is_equal_to_what_was_issued_and_to_another_run(
    exchange_log: ExchangeLog, export: Export
) -> None:
    assert not against_exchange_log(export, exchange_log)
    assert not against_export(export, export)
    assert not against_bars(export, exchange_log.bars, {SERIES: 0}, INDICATORS)


def test_a_trade_and_a_bar_that_are_not_stored_are_missing(exchange_log: ExchangeLog, export: Export) -> None:
    del export.trades[SERIES[0]][3]
    del export.bars[SERIES][15 * MINUTE_MS]
    assert dict(against_exchange_log(export, exchange_log).counts) == {
        ("trade", "missing"): 1,
        ("kline", "missing"): 1,
    }


def test_a_bar_may_differ_only_where_the_ledger_says_so(exchange_log: ExchangeLog, export: Export) -> None:
    export.bars[SERIES][15 * MINUTE_MS] = tuple(0.0 for _ in BAR_FIELDS)
    assert against_exchange_log(export, exchange_log).count("kline", "different") == 1
    assert not against_exchange_log(export, exchange_log, {SERIES: IdRanges([(15, 15)])})
    assert against_exchange_log(export, exchange_log, {SERIES: IdRanges([(16, 16)])})


def test_an_indicator_that_forgot_its_past_is_different(exchange_log: ExchangeLog, export: Export) -> None:
    export.indicators[SERIES] = {
        at: values
        for at, values in recomputed(INDICATORS, exchange_log.bars[SERIES], 12 * MINUTE_MS).items()
        if WINDOW.has_bar(at, MINUTE_MS)
    }
    differences = against_bars(export, exchange_log.bars, {SERIES: 0}, INDICATORS)
    assert differences.count("indicator", "different")
    assert differences.count("indicator", "missing") == 2


def test_two_runs_are_compared_where_both_have_something(export: Export, exchange_log: ExchangeLog) -> None:
    shorter = Export(
        Window(20 * MINUTE_MS, 30 * MINUTE_MS), export.columns, {SERIES[0]: []}, {SERIES: {}}, {SERIES: {}}
    )
    differences = against_export(shorter, export)
    assert differences.count("trade", "missing") == 10
    assert differences.count("kline", "missing") == differences.count("indicator", "missing") == 10


BAR_EVENT = {
    "stream": "klines",
    "interval": "1m",
    "first": 10 * MINUTE_MS,
    "last": 39 * MINUTE_MS,
    "count": 30,
}


def test_a_ledger_that_tells_the_truth_is_believed(export: Export) -> None:
    made = claims(
        ledger(first=10, last=39),
        ledger(kind="stored", first=10, last=39),
        ledger(**BAR_EVENT),
        ledger(**BAR_EVENT, kind="stored"),
    )
    assert not against_claims(export, made)


def test_a_claim_without_a_row_a_row_without_expectation_and_a_loss_are_found(export: Export) -> None:
    del export.trades[SERIES[0]][5]  # id 15
    made = claims(
        ledger(first=10, last=30),
        ledger(kind="stored", first=10, last=29),
        ledger(kind="stored", first=31, last=39),
    )
    assert dict(against_claims(export, made).counts) == {
        ("ledger", "missing"): 1,  # 30 is expected and not stored
        ("ledger", "unknown"): 1,  # 15 is claimed and not there
        ("ledger", "broken"): 9,  # 31 to 39 are stored and were not expected
    }


def test_holes_of_a_topic_must_be_excused(exchange_log: ExchangeLog) -> None:
    report = TopicReport(trades={SERIES[0]: IdRanges([(0, 39)])}, bar_holes={SERIES: IdRanges([(20, 21)])})
    event = {"stream": "klines", "interval": "1m", "count": 1}
    expected = ledger(**event, first=0, last=39 * MINUTE_MS)
    halted = ledger(**event, first=20 * MINUTE_MS, last=20 * MINUTE_MS, kind="halted")
    found = against_topics(report, exchange_log, claims(expected, halted), WINDOW)
    assert dict(found.counts) == {("market.klines.1m", "missing"): 1}


def test_a_trade_may_be_late_only_where_a_hole_was_known(exchange_log: ExchangeLog) -> None:
    report = TopicReport(
        trades={SERIES[0]: IdRanges([(0, 39)])}, late_trades={SERIES[0]: IdRanges([(20, 21)])}
    )
    made = claims(ledger(kind="gap", first=20, last=20, count=1))
    assert dict(against_topics(report, exchange_log, made, WINDOW).counts) == {("market.trades", "broken"): 1}


def test_a_trade_that_never_reached_its_topic_is_found(exchange_log: ExchangeLog) -> None:
    report = TopicReport(trades={SERIES[0]: IdRanges([(0, 11), (13, 39)])})
    assert dict(against_topics(report, exchange_log, Claims(), WINDOW).counts) == {
        ("market.trades", "missing"): 1
    }


def test_a_bar_that_came_again_needs_its_entry_as_revised(exchange_log: ExchangeLog) -> None:
    topics = TopicReport(superseded={SERIES: {12 * MINUTE_MS: exchange_log.bars[SERIES][12 * MINUTE_MS]}})
    topics.trades = {SERIES[0]: IdRanges([(0, BARS)])}
    series = {"stream": "klines", "interval": SERIES[1]}
    known = claims(ledger(kind="expected", first=0, last=BARS * MINUTE_MS, **series))
    assert dict(against_topics(topics, exchange_log, known, WINDOW).counts) == {
        ("market.klines.1m", "broken"): 1
    }
    known.receive(ledger(kind="revised", first=12 * MINUTE_MS, last=12 * MINUTE_MS, **series))
    assert not against_topics(topics, exchange_log, known, WINDOW)


def test_indicators_of_a_series_that_begins_elsewhere_or_was_revised_are_not_those_of_another_run(
    export: Export,
) -> None:
    at = max(export.indicators[SERIES])
    other = Export(
        WINDOW,
        export.columns,
        export.trades,
        export.bars,
        {SERIES: export.indicators[SERIES] | {at: (0.0, 0.0)}},
    )
    assert dict(against_export(export, other).counts) == {("indicator", "different"): 1}
    assert not against_export(export, other, {SERIES})
    first, later = (TopicReport(firsts_ms={SERIES: at_ms, ("X", "1s"): 5}) for at_ms in (1, 2))
    assert indicators_apart(first, first) == set()
    assert indicators_apart(later, first) == {SERIES}
    first.superseded[SERIES] = {}
    assert indicators_apart(first, first) == {SERIES}
