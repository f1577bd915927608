"""All checks of one run, on what it left behind. Pure: no servers, nothing of how the run was made."""

from __future__ import annotations

from collections import defaultdict
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from chaos.checks import against_bars, against_claims, against_exchange_log, against_topics
from chaos.differences import Differences
from chaos.exchange_log import BarSeries, ExchangeLog
from chaos.ledger_oracle import Claims
from chaos.market import Market
from chaos.scenarios import Scenario
from chaos.store_export import Export
from chaos.summed_bars import summed, without_holes
from chaos.topic_invariants import TopicReport
from chaos.true_books import TrueBooks
from chaos.venues import Venue
from consumers.indicators.registry import indicator_set
from shared.id_ranges import IdRanges
from shared.intervals import INTERVAL_MS


@dataclass(frozen=True, slots=True)
class Found:
    """What a run left behind: the store's content, the exchange's log, the topics and the ledger's claims."""

    export: Export
    exchange_log: ExchangeLog
    topics: TopicReport
    claims: Claims


def differences_of(found: Found, scenario: Scenario, market: Market, venue: Venue) -> Differences:
    """Everything that is not as the scenario allows it."""
    if venue.built_bars:
        found = _with_flat_bars(found)
    export, exchange_log, topics, claims = found.export, found.exchange_log, found.topics, found.claims
    differences = Differences()
    altered = _altered(scenario, claims, market)
    differences.update(against_exchange_log(export, exchange_log, altered))
    if scenario.torn:
        differences.update(against_claims(export, claims, expected=False))
        return differences
    if venue.streamed_books:
        differences.update(TrueBooks(market, scenario.faults).compare(topics.synced))
    bars = _bars(found, scenario, built=venue.built_bars)
    differences.update(against_bars(export, bars, topics.firsts_ms, indicator_set(("all",))))
    differences.update(topics.differences)
    differences.update(against_topics(topics, exchange_log, claims, export.window))
    differences.update(against_claims(export, claims))
    return differences


def _with_flat_bars(found: Found) -> Found:
    exchange_log = copy(found.exchange_log)
    exchange_log.bars = defaultdict(dict)
    for series, bars in found.exchange_log.bars.items():
        exchange_log.bars[series] = without_holes(bars, INTERVAL_MS[series[1]])
    return replace(found, exchange_log=exchange_log)


def unsaid_holes(claims: Claims, topics: TopicReport) -> list[str]:
    """One line if depth has more holes than the ledger has unsynced spans."""
    unsynced = sum(number for (_, kind), number in claims.events.items() if kind == "unsynced")
    if topics.depth_holes <= unsynced:
        return []
    return [f"{topics.depth_holes} holes in depth, but {unsynced} unsynced spans in the ledger"]


def _altered(scenario: Scenario, claims: Claims, market: Market) -> dict[BarSeries, IdRanges]:
    """Bars that may differ from the issued ones: revised ones, and those that began before the producer saw a
    trade and so could not be audited (`unaudited_bars`)."""
    if not scenario.altered_bars:
        return {}
    altered = claims.altered_bars()
    for symbol in market.symbols:
        for interval in market.intervals:
            begun = market.start_ms // INTERVAL_MS[interval]
            series = symbol, interval
            altered[series] = IdRanges([*altered.get(series, ()), (begun, begun)])
    return altered


def _bars(found: Found, scenario: Scenario, *, built: bool) -> dict[BarSeries, dict[int, Any]]:
    """The bars that the indicators are checked against, each as it was published first.

    Bars before the window were issued over REST, or built from trades of REST.
    """
    exchange_log, export, topics = found.exchange_log, found.export, found.topics
    bars = {series: dict(rows) for series, rows in exchange_log.bars.items()}
    if scenario.indicators_of == "stored":
        bars = {series: {**bars[series], **rows} for series, rows in export.bars.items()}
    for symbol, interval in tuple(bars) if built else ():
        unit, first_ms = INTERVAL_MS[interval], topics.firsts_ms.get((symbol, interval))
        if first_ms is not None:
            before = summed(exchange_log.exact[symbol], unit, first_ms, export.window.begin_ms)
            bars[symbol, interval] = before | bars[symbol, interval]
    for series, superseded in topics.superseded.items():
        bars.setdefault(series, {}).update(superseded)
    return bars
