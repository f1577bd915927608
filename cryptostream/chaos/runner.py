"""Runs scenarios one after the other on the same engines, and judges each."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

from consumers.indicators.registry import indicator_set
from cryptostream.chaos.claims import Claims
from cryptostream.chaos.disturber import Disturber
from cryptostream.chaos.engines import Engines
from cryptostream.chaos.export import Export
from cryptostream.chaos.kills import KillPlan
from cryptostream.chaos.market import Market, Window
from cryptostream.chaos.processes import Say
from cryptostream.chaos.result import Result
from cryptostream.chaos.scenarios import UNDISTURBED, WINDOW_S, Scenario
from cryptostream.chaos.session import Session
from cryptostream.chaos.stack import Modules, StackOptions
from cryptostream.chaos.topic_laws import TopicReport
from cryptostream.chaos.topics import read_topics
from cryptostream.chaos.truth import BarSeries, Truth
from cryptostream.chaos.verdicts import (
    against_bars,
    against_claims,
    against_export,
    against_topics,
    against_truth,
)
from shared.errors import CryptoStreamError
from shared.id_ranges import IdRanges
from shared.intervals import INTERVAL_MS

_UNDISTURBED = Scenario(UNDISTURBED, "nothing is broken", window_s=WINDOW_S, connection_age_s=None)


class Runner:
    """Runs scenarios of one market.

    Args:
        kills: of each scenario that kills.
        modules: what is started as producers and consumers.
        undisturbed: the store of the undisturbed market, if it is known already.
    """

    def __init__(
        self,
        engines: Engines,
        market: Market,
        directory: Path,
        say: Say,
        *,
        kills: int = 5,
        modules: Modules | None = None,
        undisturbed: Export | None = None,
    ) -> None:
        self._engines = engines
        self._market = market
        self._directory = directory
        self._say = say
        self._kills = kills
        self._modules = modules or Modules()
        self._undisturbed = undisturbed

    def undisturbed(self) -> Export:
        """The store of the market when nothing is broken; run once.

        Raises:
            CryptoStreamError: even that run broke a promise.
        """
        if self._undisturbed is None:
            self._say(f"{UNDISTURBED}: what the others are compared with")
            result = Result(_UNDISTURBED)
            self._undisturbed = self._run(_UNDISTURBED, result, Modules())
            if result.broken():
                raise CryptoStreamError(f"the undisturbed run is broken: {'; '.join(result.broken())}")
        return self._undisturbed

    def run(self, scenario: Scenario) -> Result:
        """One scenario from empty topics to its verdict; an error of the harness is part of the result."""
        result = Result(scenario)
        try:
            other = self.undisturbed() if scenario.same_market else None
            self._say(f"{scenario.name}: {scenario.about}")
            export = self._run(scenario, result, self._modules)
            if other is not None and not scenario.altered_bars:
                result.differences.update(against_export(export, other))
        except CryptoStreamError as error:
            result.error = str(error)
        return result

    def _run(self, scenario: Scenario, result: Result, modules: Modules) -> Export:
        began_s = time.monotonic()
        market = self._market
        options = StackOptions(scenario.speed, scenario.exchange_arguments(), modules)
        session = Session(
            self._engines,
            market,
            options,
            self._directory / scenario.name,
            self._say,
            books=not scenario.for_good,
        )
        try:
            session.start()
            plan = KillPlan(self._kills if scenario.kill else 0, market.seed)
            Disturber(session, self._engines, scenario, result, self._say).run(plan, market.start_ms)
            _count(result, session.stack.faults() if scenario.faults else [])
            drained = session.end(scenario.noticed_s)
            result.drain_s = drained.seconds
            result.complaints += drained.complaints
            result.ends = tuple(session.stack.processes.unasked)
            export = self._judge(session, scenario, result, drained.window)
        finally:
            session.close()
            result.seconds = time.monotonic() - began_s
        return export

    def _judge(self, session: Session, scenario: Scenario, result: Result, window: Window) -> Export:
        export, truth = session.export(window), session.truth()
        topics = read_topics(self._engines.kafka.bootstrap_servers, self._market.intervals)
        claims = session.watch.claims
        result.rows, result.books, result.dead_letters = export.rows, topics.books, topics.dead_letters
        result.lost = sum(claims.ids(series, "lost").id_count() for series in claims.series())
        differences = result.differences
        if scenario.torn:
            differences.update(against_truth(export, truth))
            differences.update(against_claims(export, claims, expected=False))
            return export
        differences.update(against_truth(export, truth, _altered(scenario, claims, self._market)))
        bars = _bars(scenario, truth, export)
        indicators = indicator_set(("all",))
        differences.update(against_bars(export, bars, topics.firsts_ms, indicators))
        differences.update(topics.differences)
        differences.update(against_topics(topics, truth, claims, window))
        differences.update(against_claims(export, claims))
        _expect(scenario, result, session, topics)
        return export


def _altered(scenario: Scenario, claims: Claims, market: Market) -> dict[BarSeries, IdRanges]:
    """Bars that may differ from those issued: those said to be revised, and those that had begun before the
    producer saw a trade, which it has nothing to compare with (they count as `unaudited_bars`)."""
    if not scenario.altered_bars:
        return {}
    altered = claims.altered_bars()
    for symbol in market.symbols:
        for interval in market.intervals:
            begun = market.start_ms // INTERVAL_MS[interval]
            series = symbol, interval
            altered[series] = IdRanges([*altered.get(series, ()), (begun, begun)])
    return altered


def _bars(scenario: Scenario, truth: Truth, export: Export) -> dict[BarSeries, dict[int, Any]]:
    """Those that the indicators are judged by; what came before the window was issued over REST."""
    if scenario.indicators_of == "issued":
        return dict(truth.bars)
    return {series: {**truth.bars[series], **bars} for series, bars in export.bars.items()}


def _count(result: Result, faults: list[dict[str, Any]]) -> None:
    result.fired = faults[0]["fired"] if faults else 0
    # A kind may stand twice: once for certain, and by chance.
    fired = {fault["kind"] for fault in faults if fault["fired"]}
    result.silent_faults = tuple(dict.fromkeys(f["kind"] for f in faults if f["kind"] not in fired))
    result.records = Counter()
    for fault in faults:
        result.records.update({stream: hit for stream, hit in fault["records"].items() if hit})


def _expect(scenario: Scenario, result: Result, session: Session, topics: TopicReport) -> None:
    """What must, and what must not, have been said about the faults."""
    events, complaints = session.watch.claims.events, result.complaints
    complaints += [
        f"the ledger has no {kind} of {stream}"
        for stream, kind in scenario.ledger
        if not events[stream, kind]
    ]
    complaints += [
        f"the ledger has {events[stream, kind]} {kind} of {stream}"
        for stream, kind in scenario.never
        if events[stream, kind]
    ]
    hits = sum(result.records[stream] for stream in ("trade", "kline", "depth", "quote", "kline_live"))
    if scenario.dead_letters and topics.dead_letters < hits:
        complaints.append(f"{hits} bad records, but {topics.dead_letters} dead letters")
    unsynced = sum(number for (_, kind), number in events.items() if kind == "unsynced")
    if topics.depth_holes > unsynced:
        complaints.append(f"{topics.depth_holes} holes in depth, but {unsynced} unsynced spans in the ledger")
    if session.watch.bad:
        complaints.append(f"{session.watch.bad} events of the ledger break their contract")
