"""Runs scenarios in turn on the same servers, and checks each."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

from chaos.checks import against_export, indicators_apart
from chaos.exchange_log import BarSeries
from chaos.injector import FaultInjector, KillPlan
from chaos.market import Market, Window
from chaos.result import Result
from chaos.run_checks import Found, differences_of, unsaid_holes
from chaos.scenarios import UNDISTURBED, WINDOW_S, Scenario
from chaos.servers import Servers
from chaos.session import Session
from chaos.stack import Modules, StackOptions
from chaos.store_export import Export
from chaos.topic_invariants import TopicReport, read_topics
from chaos.venues import VENUES, fitted
from cryptostream.processes.supervisor import Say
from shared.errors import CryptoStreamError

_UNDISTURBED = Scenario(UNDISTURBED, "nothing is broken", window_s=WINDOW_S, connection_age_s=None)


class Runner:
    """Runs scenarios of one market.

    Args:
        kills: in each scenario that kills.
        modules: started as producers and consumers.
        undisturbed: the store after the undisturbed run, if known.
    """

    def __init__(
        self,
        servers: Servers,
        market: Market,
        directory: Path,
        say: Say,
        *,
        kills: int = 5,
        modules: Modules | None = None,
        undisturbed: Export | None = None,
    ) -> None:
        self._servers = servers
        self._market = market
        self._directory = directory
        self._say = say
        self._venue = VENUES[market.exchange]
        self._kills = kills
        self._modules = modules or Modules()
        self._undisturbed = undisturbed
        self._undisturbed_topics: TopicReport | None = None

    def undisturbed(self) -> Export:
        """The store after the undisturbed run, which is made once.

        Raises:
            CryptoStreamError: even that run broke a promise.
        """
        if self._undisturbed is None:
            self._say(f"{UNDISTURBED}: the run that the others are compared with")
            scenario = fitted(_UNDISTURBED, self._venue)
            result = Result(scenario)
            self._undisturbed = self._run(scenario, result, Modules())
            self._undisturbed_topics = result.topics
            if result.broken():
                raise CryptoStreamError(f"the undisturbed run is broken: {'; '.join(result.broken())}")
        return self._undisturbed

    def run(self, scenario: Scenario) -> Result:
        """One scenario from empty topics to its outcome; an error of the harness is part of the result."""
        result = Result(scenario)
        try:
            other = self.undisturbed() if scenario.same_market else None
            self._say(f"{scenario.name}: {scenario.about}")
            export = self._run(scenario, result, self._modules)
            if other is not None and not scenario.altered_bars:
                result.differences.update(against_export(export, other, self._apart(result)))
        except CryptoStreamError as error:
            result.error = str(error)
        return result

    def _apart(self, result: Result) -> set[BarSeries]:
        other = self._undisturbed_topics
        if not self._venue.built_bars or result.topics is None or other is None:
            return set()
        return indicators_apart(result.topics, other)

    def _run(self, scenario: Scenario, result: Result, modules: Modules) -> Export:
        began_s = time.monotonic()
        market = self._market
        announces = self._venue.announces
        options = StackOptions(
            scenario.speed,
            scenario.exchange_arguments(announces=announces),
            scenario.producer_arguments(announces=announces),
            modules,
        )
        session = Session(
            self._servers,
            market,
            options,
            self._directory / scenario.name,
            self._say,
            books=not scenario.for_good,
        )
        try:
            session.start()
            plan = KillPlan(self._kills if scenario.kill else 0, market.seed)
            injector = FaultInjector(
                session, self._servers, scenario, result, self._say, recovery_s=self._venue.recovery_s
            )
            injector.run(plan, market.start_ms)
            _count(result, session.stack.faults() if scenario.faults else [])
            drained = session.end(scenario.noticed_s)
            result.drain_s = drained.seconds
            result.complaints += drained.complaints
            result.unexpected_exits = tuple(session.stack.processes.unexpected_exits)
            export = self._check(session, scenario, result, drained.window)
        finally:
            session.close()
            result.seconds = time.monotonic() - began_s
        return export

    def _check(self, session: Session, scenario: Scenario, result: Result, window: Window) -> Export:
        export, exchange_log = session.export(window), session.exchange_log()
        topics = read_topics(
            self._servers.kafka.bootstrap_servers,
            self._market.intervals,
            streamed=self._venue.streamed_books,
        )
        claims = session.monitor.claims
        result.rows, result.books, result.dead_letters = export.rows, topics.books, topics.dead_letters
        result.lost = sum(claims.ids(series, "lost").id_count() for series in claims.series())
        result.differences.update(
            differences_of(Found(export, exchange_log, topics, claims), scenario, self._market, self._venue)
        )
        if scenario.torn:
            return export
        result.topics = topics
        _expect(scenario, result, session, topics)
        return export


def _count(result: Result, faults: list[dict[str, Any]]) -> None:
    result.fired = faults[0]["fired"] if faults else 0
    # A kind may be listed twice: once at a fixed time, once with a probability.
    fired = {fault["kind"] for fault in faults if fault["fired"]}
    result.silent_faults = tuple(dict.fromkeys(f["kind"] for f in faults if f["kind"] not in fired))
    result.records = Counter()
    for fault in faults:
        result.records.update({stream: hit for stream, hit in fault["records"].items() if hit})


def _expect(scenario: Scenario, result: Result, session: Session, topics: TopicReport) -> None:
    """Check the ledger events and dead letters that the scenario requires or forbids."""
    events, complaints = session.monitor.claims.events, result.complaints
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
    complaints += unsaid_holes(session.monitor.claims, topics)
    if session.monitor.bad:
        complaints.append(f"{session.monitor.bad} events of the ledger break their contract")
