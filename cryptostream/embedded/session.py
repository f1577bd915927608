"""One run of the embedded mode, from its start to its verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from consumers.indicators.registry import columns_of
from cryptostream.data_dir import remember_latest
from cryptostream.embedded.display import Display
from cryptostream.embedded.drain import Drain, DrainState
from cryptostream.embedded.evidence import Look, State
from cryptostream.embedded.idle import DEADLINE_S as IDLE_DEADLINE_S
from cryptostream.embedded.idle import IdleWatch
from cryptostream.embedded.options import RunOptions
from cryptostream.embedded.plant import Plant
from cryptostream.embedded.services import CONSUMERS, PRODUCERS, SIMULATOR
from cryptostream.embedded.snapshot import Snapshot
from cryptostream.embedded.source import choose_source, probe_binance
from cryptostream.embedded.stop_request import StopRequest
from cryptostream.embedded.verdict import judge
from cryptostream.embedded.workspace import Workspace
from cryptostream.output import PlainConsole
from shared.errors import BrokerError, CryptoStreamError
from shared.settings import load_settings

_TICK_S: Final = 0.1
# Services flush within 10 s (DESIGN §4.5); a busy machine gets some more.
_STOP_DEADLINE_S: Final = 20.0
_LIVE_IDLE_DEADLINE_S: Final = 5.0
# A process that was just started again, of Python and its libraries, and its first questions to the exchange.
_BEGIN_DEADLINE_S: Final = 20.0
_PRODUCER_METRICS: Final = "producer"
# Three attempts of 5 s each for two questions.
_ANSWER_DEADLINE_S: Final = 35.0
# Bars are asked for 8 s after their border, trades some seconds after another source has told of them.
_CAUGHT_UP_DEADLINE_S: Final = 20.0
# What proves that a halt has left bars out takes three quarters of a minute (producers.missing_ids).
_QUESTIONED_DEADLINE_S: Final = 60.0
_PRICES_DEADLINE_S: Final = 20.0
_SETTLE_S: Final = 0.3


class Session:
    """Starts everything, watches it, stops it in order, and says whether anything was lost."""

    def __init__(self, options: RunOptions) -> None:
        self._options = options
        console = PlainConsole()
        self._display = Display(console, screen=options.screen and console.is_terminal)
        self._stop = StopRequest()
        self._phase = "starting"
        self._began_s = time.monotonic()
        self._unclean: list[str] = []
        self._looks: list[Look] = []
        self._looked_at = ""
        self._uncarried: frozenset[str] = frozenset()

    def run(self) -> int:
        """The exit code: 0 only if the promises of DESIGN §5 held.

        Raises:
            CryptoStreamError: the run could not start, or could not go on.
        """
        options = self._options
        settings = load_settings(symbols=options.symbols, intervals=options.intervals, store=options.store)
        columns_of(settings.indicators)  # the consumers would say it when everything else runs
        with self._stop:
            source = choose_source(options, lambda: probe_binance(settings))
            self._display.say(f"source: {source.kind} ({source.reason})")
            workspace = Workspace(options.data_dir, source.kind)
            plant = Plant(options, settings, source, workspace, self._display.say)
            try:
                return self._work(plant)
            except BaseException:
                plant.abort()
                raise
            finally:
                workspace.close()

    def _work(self, plant: Plant) -> int:
        plant.start()
        remember_latest(plant.root)
        self._stop.begin()
        self._display.open()
        try:
            self._watch(plant)
            self._wind_down(plant)
        finally:
            self._display.close()
            self._display.report(plant.ledger)
        return self._conclude(plant)

    # While it runs

    def _watch(self, plant: Plant) -> None:
        self._phase = "running"
        began_s = time.monotonic()
        duration_s = self._options.duration_s
        while not self._stop.asked:
            self._tick(plant)
            if self._display.reader_gone:
                return
            if duration_s is not None and time.monotonic() - began_s >= duration_s:
                self._display.say(f"stopping after {duration_s:g} s, as asked")
                return
            if plant.simulator.replay_finished:
                self._display.say("the recordings are at their end")
                return
        self._display.say("stopping in order; Ctrl-C again stops at once")

    def _tick(self, plant: Plant) -> None:
        plant.tick(_TICK_S)
        uncarried = frozenset(plant.uncarried)
        for line in sorted(uncarried - self._uncarried):
            self._display.say(f"warning: {line}")
        self._uncarried = uncarried
        self._display.update(time.monotonic(), lambda: self._snapshot(plant))

    def _wait(self, plant: Plant, condition: Callable[[], bool], deadline_s: float) -> bool:
        """Whether the condition came true in time; a hastened stop does not wait."""
        give_up_s = time.monotonic() + deadline_s
        while not condition():
            if self._stop.hastened or time.monotonic() > give_up_s:
                return False
            self._tick(plant)
        return True

    def _snapshot(self, plant: Plant) -> Snapshot:
        return Snapshot(
            title_lines=plant.title_lines,
            phase=self._phase,
            uptime_s=time.monotonic() - self._began_s,
            instruments=plant.instruments,
            services=plant.services,
            ledger=plant.ledger,
            log_lines=self._display.lines,
            warnings=plant.warnings,
        )

    # Stopping in order

    def _wind_down(self, plant: Plant) -> None:
        # 1. The exchange says what it has issued: that must be there at the end.
        # 2. The source falls silent, and everything it gave is published.
        # 3. The producers say their last and end.
        # 4. The store has all of it.
        # 5. Only now the consumers end, and what they stored is looked for; then what they stood on.
        for phase, step in (
            ("stopping: asking the exchange", self._ask_exchange),
            ("stopping: source", self._silence_source),
            ("stopping: producers", self._end_producers),
            ("stopping: waiting for the store", self._drain),
            ("stopping: consumers", self._end_consumers),
            ("stopping: looking at the store", self._look_at_store),
        ):
            if not self._stop.hastened:
                self._phase = phase
                step(plant)
        if self._stop.hastened:
            self._unclean.append("stopped at once by the second Ctrl-C: what was on its way is not stored")
            plant.kill()
        else:
            self._end(plant, SIMULATOR)
            plant.stop()

    def _ask_exchange(self, plant: Plant) -> None:
        if plant.source_kind == "replay":
            # Its simulator knows what it has played, once it plays no more.
            try:
                plant.simulator.freeze()
            except CryptoStreamError as error:
                self._display.say(f"the simulator cannot be frozen: {error}")
        plant.inspection.ask_again()
        self._wait(plant, lambda: plant.inspection.answered, _ANSWER_DEADLINE_S)
        if plant.source_kind == "simulator":
            # It sends the end of a bar some 50 ms after the border.
            settled_s = time.monotonic() + _SETTLE_S
            self._wait(plant, lambda: time.monotonic() >= settled_s, _SETTLE_S)

    def _silence_source(self, plant: Plant) -> None:
        live = plant.source_kind == "live"
        # Producers that were started again have yet to find out what they missed, and to fetch it.
        self._wait(plant, lambda: plant.has_begun(PRODUCERS), _BEGIN_DEADLINE_S)
        if plant.source_kind == "simulator":
            try:
                plant.simulator.freeze()
            except CryptoStreamError as error:
                self._display.say(f"the simulator cannot be frozen: {error}")
        if not plant.inspection.answered:
            self._wait(plant, lambda: plant.inspection.answered, _ANSWER_DEADLINE_S)
        idle = IdleWatch(time.monotonic(), source_silent=not live)

        def settled() -> bool:
            heard = plant.metrics(_PRODUCER_METRICS)
            if heard is None:
                return False
            return idle.receive(heard[0], heard[1]["messages"], heard[1]["gauges"])

        if not self._wait(plant, settled, _LIVE_IDLE_DEADLINE_S if live else IDLE_DEADLINE_S):
            self._display.say("the producers are still fetching; what they cannot finish is named at the end")
        # What only the exchange's word tells of, the producers notice in some seconds and fetch.
        self._wait(plant, plant.inspection.caught_up, _CAUGHT_UP_DEADLINE_S)

        def proven() -> bool:
            heard = plant.metrics(_PRODUCER_METRICS)
            return heard is None or not heard[1]["gauges"].get("questioned_series", 0)

        self._wait(plant, proven, _QUESTIONED_DEADLINE_S)

    def _end_producers(self, plant: Plant) -> None:
        self._looks += plant.looks_at_services(PRODUCERS)
        self._end(plant, PRODUCERS)

    def _drain(self, plant: Plant) -> None:
        drain = Drain(time.monotonic())

        def decided() -> bool:
            rows = plant.ledger
            expected, missing = sum(row.expected for row in rows), sum(row.lost for row in rows)
            return drain.step(time.monotonic(), expected, missing) is not DrainState.WAITING

        self._wait(plant, decided, float("inf"))
        if not self._stop.hastened:
            self._drain_prices(plant)

    def _drain_prices(self, plant: Plant) -> None:
        """Best prices and books are in no ledger: they are stored when their groups have committed them."""
        unread: int | None = None
        give_up_s = time.monotonic() + _PRICES_DEADLINE_S
        try:
            while (unread := plant.unread()) and time.monotonic() < give_up_s and not self._stop.hastened:
                self._tick(plant)
        except BrokerError as error:
            self._looks.append(Look("quotes and books", State.UNKNOWN, f"unknown: {error}"))
        if unread:
            said = f"{unread:,} records on the broker are not stored"
            self._looks.append(Look("quotes and books", State.MISSING, said))

    def _end_consumers(self, plant: Plant) -> None:
        self._wait(plant, lambda: plant.has_begun(CONSUMERS), _BEGIN_DEADLINE_S)
        self._looks += plant.looks_at_services(CONSUMERS)
        self._end(plant, CONSUMERS)

    def _look_at_store(self, plant: Plant) -> None:
        self._unclean += plant.store_faults()
        looks, self._looked_at = plant.looks()
        self._looks += looks

    def _end(self, plant: Plant, name: str) -> None:
        children = plant.children
        children.ask_to_stop(name)
        self._wait(plant, lambda: not children.running(name), _STOP_DEADLINE_S)
        fault = children.settle(name)
        if fault is not None:
            self._unclean.append(fault)

    # The end

    def _conclude(self, plant: Plant) -> int:
        verdict = judge(plant.ledger, self._looks, self._unclean, looked_at=self._looked_at)
        for fault in verdict.faults:
            self._display.conclude(f"  {fault}")
        self._display.conclude(f"{verdict.line} [broker: {plant.broker_kind}; data: {plant.root}]")
        return verdict.exit_code
