"""One run, from its start to its outcome."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import chain
from typing import Final

from consumers.indicators.registry import columns_of
from cryptostream.data_dir import remember_latest
from cryptostream.output import PlainConsole
from cryptostream.run.data_directory import DataDirectory
from cryptostream.run.deployment import LocalDeployment
from cryptostream.run.display import Display
from cryptostream.run.listings import require_listed
from cryptostream.run.options import RunOptions
from cryptostream.run.proof.checks import Result, Status
from cryptostream.run.proof.outcome import Part, conclude, verdicts
from cryptostream.run.services import API, CONSUMERS
from cryptostream.run.shutdown import (
    QUIESCENCE_DEADLINE_S,
    Drain,
    DrainState,
    QuiescenceDetector,
    StopRequest,
    all_fetched,
)
from cryptostream.run.source import choose_source, of_recordings, probe_exchanges
from cryptostream.run.venue import Venue
from cryptostream.run.view import RunView
from producers.exchanges.registry import exchange_named
from shared.errors import BrokerError, CryptoStreamError
from shared.settings import load_settings

_TICK_S: Final = 0.1
# Services flush within 10 s (DESIGN §4.5); a busy machine gets some more.
_STOP_DEADLINE_S: Final = 20.0
_LIVE_FETCH_DEADLINE_S: Final = 5.0
# A restarted process loads Python and its libraries and asks the exchange.
_BEGIN_DEADLINE_S: Final = 20.0
# Two requests with three attempts of 5 s each.
_ANSWER_DEADLINE_S: Final = 35.0
# Producers ask for bars 8 s after their end, for trades some seconds after another source shows them.
_CAUGHT_UP_DEADLINE_S: Final = 20.0
# The proof that a halt has left out bars takes 45 s (producers.missing_ids).
_QUESTIONED_DEADLINE_S: Final = 60.0
_PRICES_DEADLINE_S: Final = 20.0
# librdkafka's clients try to come back to their broker every 10 s at least.
_READ_DEADLINE_S: Final = 30.0
_LAST_BAR_S: Final = 0.3


class Session:
    """Starts a deployment, monitors it, stops it in order, and reports whether anything was lost."""

    def __init__(self, options: RunOptions) -> None:
        self._options = options
        console = PlainConsole()
        self._display = Display(console, screen=options.screen and console.is_terminal)
        self._stop = StopRequest()
        self._phase = "starting"
        self._began_s = time.monotonic()
        self._unclean: list[str] = []
        self._results: list[Result] = []
        self._services: dict[str, tuple[Result, ...]] = {}  # of each exchange's producers
        self._parts: list[Part] = []
        self._uncarried: frozenset[str] = frozenset()

    def run(self) -> int:
        """The exit code: 0 only if the promises of DESIGN §5 were kept.

        Raises:
            CryptoStreamError: the run could not start, or could not go on.
        """
        options = self._options
        settings = load_settings(symbols=options.symbols, intervals=options.intervals, store=options.store)
        columns_of(settings.indicators)  # fail now rather than in the consumers
        with self._stop:
            titles = [exchange_named(each).title for each in settings.exchanges]
            source = choose_source(options, lambda: probe_exchanges(settings), titles)
            if source.kind == "replay":
                settings = of_recordings(settings, options.symbols)
            self._display.say(f"source: {source.kind} ({source.reason})")
            if source.kind == "live":
                require_listed(settings)  # broker and store take seconds to start
            data_directory = DataDirectory(options.data_dir, source.kind)
            deployment = LocalDeployment(options, settings, source, data_directory, self._display.say)
            try:
                return self._work(deployment)
            except BaseException:
                deployment.abort()
                raise
            finally:
                data_directory.close()

    def _work(self, deployment: LocalDeployment) -> int:
        deployment.start()
        remember_latest(deployment.root)
        self._stop.begin()
        self._display.open()
        try:
            self._watch(deployment)
            self._wind_down(deployment)
        finally:
            self._display.close()
            self._display.report(deployment.ledger)
        return self._conclude(deployment)

    # While it runs

    def _watch(self, deployment: LocalDeployment) -> None:
        self._phase = "running"
        began_s = time.monotonic()
        duration_s = self._options.duration_s
        while not self._stop.asked:
            self._tick(deployment)
            if self._display.reader_gone:
                return
            if duration_s is not None and time.monotonic() - began_s >= duration_s:
                self._display.say(f"stopping after {duration_s:g} s, as asked")
                return
            if any(venue.simulator.replay_finished for venue in deployment.venues):
                self._display.say("the recordings are at their end")
                return
        self._display.say("stopping in order; Ctrl-C again stops at once")

    def _tick(self, deployment: LocalDeployment) -> None:
        deployment.tick(_TICK_S)
        uncarried = frozenset(deployment.uncarried)
        for line in sorted(uncarried - self._uncarried):
            self._display.say(f"warning: {line}")
        self._uncarried = uncarried
        self._display.update(time.monotonic(), lambda: self._view(deployment))

    def _wait(self, deployment: LocalDeployment, condition: Callable[[], bool], deadline_s: float) -> bool:
        """Whether the condition became true in time; a second Ctrl-C ends the wait."""
        give_up_s = time.monotonic() + deadline_s
        while not condition():
            if self._stop.hastened or time.monotonic() > give_up_s:
                return False
            self._tick(deployment)
        return True

    def _view(self, deployment: LocalDeployment) -> RunView:
        return RunView(
            title_lines=deployment.title_lines,
            phase=self._phase,
            uptime_s=time.monotonic() - self._began_s,
            instruments=deployment.instruments,
            services=deployment.services,
            ledger=deployment.ledger,
            log_lines=self._display.lines,
            warnings=deployment.warnings,
        )

    # Stopping in order

    def _wind_down(self, deployment: LocalDeployment) -> None:
        # 1. The exchange tells what it has issued: that must be stored at the end.
        # 2. The source falls silent, and everything it sent is published.
        # 3. The producers send their last reports and end.
        # 4. The ledger is read to its end, and the store has all of it.
        # 5. Only now the consumers end, what they entered last is read, and the store is checked; then
        #    the simulator, store and broker end.
        for phase, step in (
            ("stopping: asking the exchange", self._ask_exchange),
            ("stopping: source", self._silence_source),
            ("stopping: producers", self._end_producers),
            ("stopping: waiting for the store", self._drain),
            ("stopping: consumers", self._end_consumers),
            ("stopping: checking the store", self._check_store),
        ):
            if not self._stop.hastened:
                self._phase = phase
                step(deployment)
        if self._stop.hastened:
            self._unclean.append("stopped at once by the second Ctrl-C: what was on its way is not stored")
            deployment.kill()
        else:
            self._end_page(deployment)
            self._end(deployment, *(venue.simulator_child for venue in deployment.venues))
            deployment.stop()

    def _ask_exchange(self, deployment: LocalDeployment) -> None:
        if deployment.source_kind == "replay":
            # The simulator knows what it has played once it has stopped playing.
            self._freeze(deployment)
        for venue in deployment.venues:
            venue.inspection.ask_again()
        self._wait(deployment, lambda: _all_answered(deployment), _ANSWER_DEADLINE_S)
        if deployment.source_kind == "simulator":
            # The simulator sends a closed bar some 50 ms after its end.
            until_s = time.monotonic() + _LAST_BAR_S
            self._wait(deployment, lambda: time.monotonic() >= until_s, _LAST_BAR_S)

    def _freeze(self, deployment: LocalDeployment) -> None:
        for venue in deployment.venues:
            try:
                venue.simulator.freeze()
            except CryptoStreamError as error:
                self._display.say(f"the {venue.simulator_child} cannot be frozen: {error}")

    def _silence_source(self, deployment: LocalDeployment) -> None:
        live = deployment.source_kind == "live"
        # Restarted producers first have to find out and fetch what they missed.
        self._wait(
            deployment,
            lambda: all(deployment.has_begun(venue.producers_child) for venue in deployment.venues),
            _BEGIN_DEADLINE_S,
        )
        if deployment.source_kind == "simulator":
            self._freeze(deployment)
        if not _all_answered(deployment):
            self._wait(deployment, lambda: _all_answered(deployment), _ANSWER_DEADLINE_S)
        began_s = time.monotonic()
        detectors = [
            (venue, QuiescenceDetector(began_s, source_silent=not live)) for venue in deployment.venues
        ]

        def is_quiescent(venue: Venue, detector: QuiescenceDetector) -> bool:
            report = deployment.producer_metrics(venue)
            if report is None:
                return False
            received_s, metrics = report
            return detector.receive(received_s, metrics["messages"], fetched=all_fetched(metrics["gauges"]))

        def quiescent() -> bool:
            # Each detector sees each report, whatever the others say.
            decided = [is_quiescent(*each) for each in detectors]
            return all(decided)

        deadline_s = _LIVE_FETCH_DEADLINE_S if live else QUIESCENCE_DEADLINE_S
        if not self._wait(deployment, quiescent, deadline_s):
            self._display.say("the producers are still fetching; what they cannot finish is named at the end")
        # Within some seconds the producers notice and fetch what only the exchange's newest ids show.
        self._wait(
            deployment,
            lambda: all(venue.inspection.caught_up() for venue in deployment.venues),
            _CAUGHT_UP_DEADLINE_S,
        )

        def proven() -> bool:
            reports = map(deployment.producer_metrics, deployment.venues)
            return not any(report and report[1]["gauges"].get("questioned_series", 0) for report in reports)

        self._wait(deployment, proven, _QUESTIONED_DEADLINE_S)

    def _end_producers(self, deployment: LocalDeployment) -> None:
        for venue in deployment.venues:
            results = venue.named(deployment.check_services(venue.producers_child))
            self._services[venue.name] = tuple(results)
        self._end(deployment, *(venue.producers_child for venue in deployment.venues))

    def _drain(self, deployment: LocalDeployment) -> None:
        drain = Drain(time.monotonic())
        # Silence is no proof: producers enter their last holes when they end.
        deployment.ask_ends()

        def decided() -> bool:
            rows = deployment.ledger
            expected, missing = sum(row.expected for row in rows), sum(row.lost for row in rows)
            state = drain.step(time.monotonic(), expected, missing, read=deployment.at_ends)
            return state is not DrainState.WAITING

        self._wait(deployment, decided, float("inf"))
        if not self._stop.hastened:
            self._drain_prices(deployment)

    def _drain_prices(self, deployment: LocalDeployment) -> None:
        """Best prices and books are in no ledger: they are stored once their groups have committed them."""
        lag: int | None = None
        give_up_s = time.monotonic() + _PRICES_DEADLINE_S
        try:
            while (
                (lag := deployment.price_lag()) and time.monotonic() < give_up_s and not self._stop.hastened
            ):
                self._tick(deployment)
        except BrokerError as error:
            self._results.append(Result("quotes and books", Status.UNKNOWN, f"unknown: {error}"))
        if lag:
            detail = f"{lag:,} records on the broker are not stored"
            self._results.append(Result("quotes and books", Status.MISSING, detail))

    def _end_consumers(self, deployment: LocalDeployment) -> None:
        self._wait(deployment, lambda: deployment.has_begun(CONSUMERS), _BEGIN_DEADLINE_S)
        self._results += deployment.check_services(CONSUMERS)
        self._end(deployment, CONSUMERS)
        # All who write there have ended: what is read now is all there is.
        deployment.ask_ends()
        self._wait(deployment, lambda: deployment.at_ends, _READ_DEADLINE_S)
        self._results += deployment.check_read()

    def _check_store(self, deployment: LocalDeployment) -> None:
        self._unclean += deployment.store_faults()
        uptime_s = deployment.uptime_s
        for venue in deployment.venues:
            results, checked = venue.results(uptime_s)
            services = self._services.get(venue.name, ())
            self._parts.append(Part(venue.name, tuple(results), checked, services))

    def _end(self, deployment: LocalDeployment, *names: str) -> None:
        children = deployment.children
        for name in names:
            children.terminate(name)
        self._wait(deployment, lambda: not any(map(children.running, names)), _STOP_DEADLINE_S)
        self._unclean += filter(None, map(children.finish, names))

    def _end_page(self, deployment: LocalDeployment) -> None:
        """End what serves the page; how it ends is no matter of the market's data."""
        deployment.children.terminate(API)
        self._wait(deployment, lambda: not deployment.children.running(API), _STOP_DEADLINE_S)
        fault = deployment.children.finish(API)
        if fault is not None:
            self._display.say(fault)

    # The end

    def _conclude(self, deployment: LocalDeployment) -> int:
        for line in verdicts(deployment.ledger, self._parts, self._results):
            self._display.conclude(f"  {line}")
        results = self._results
        if not self._parts:
            # Stopped at once: no part tells of its services.
            results = [*results, *chain.from_iterable(self._services.values())]
        outcome = conclude(deployment.ledger, self._parts, results, self._unclean)
        for fault in outcome.faults:
            self._display.conclude(f"  {fault}")
        self._display.conclude(f"{outcome.line} [broker: {deployment.broker_kind}; data: {deployment.root}]")
        return outcome.exit_code


def _all_answered(deployment: LocalDeployment) -> bool:
    """Whether all exchanges have said what they have issued."""
    return all(venue.inspection.answered for venue in deployment.venues)
