"""Carries out a scenario on a running session, and takes its figures meanwhile."""

from __future__ import annotations

import time
from typing import Final

from cryptostream.chaos.engines import Engines
from cryptostream.chaos.health import RecoveryMeter
from cryptostream.chaos.kills import KillPlan
from cryptostream.chaos.memory import held_by
from cryptostream.chaos.power import Power
from cryptostream.chaos.processes import Say
from cryptostream.chaos.result import Result
from cryptostream.chaos.scenarios import POWER, Outage, Scenario
from cryptostream.chaos.session import Session
from cryptostream.chaos.stack import CONSUMERS, PRODUCER

# Fast enough for recoveries to be told apart: the services report once a second.
_SAMPLE_S: Final = 0.25
_FAULTS_S: Final = 0.5
_LOOK_S: Final = 1.0
# Consumers of a group that was left without a word are waited for ten seconds by the broker.
_RECOVERY_S: Final = 90.0
_MOST_BETWEEN_KILLS_S: Final = 180.0
_BEFORE_OUTAGE_S: Final = 3.0
_ENGINES: Final = ("kafka", "influx", POWER)


class Disturber:
    """Runs a session through its scenario, until all is complete again.

    Args:
        result: filled with the figures.
    """

    def __init__(
        self, session: Session, engines: Engines, scenario: Scenario, result: Result, say: Say
    ) -> None:
        self._session = session
        self._engines = engines
        self._scenario = scenario
        self._result = result
        self._say = say
        self._meter = RecoveryMeter()
        self._power: Power | None = None
        self._next_sample_s = 0.0
        self._next_look_s = 0.0
        self._next_faults_s = 0.0
        self._now_ms = 0

    def run(self, plan: KillPlan, begin_ms: int) -> None:
        """Disturb, and wait until the stack has recovered and the window is over.

        Args:
            begin_ms: the world's time at which the window begins.
        """
        if self._scenario.outage is not None:
            self._be_away(self._scenario.outage)
        if self._scenario.kill == POWER:
            self._power = Power(self._engines.kafka.log_dir, plan.chance)
        killed_s = time.monotonic()
        while not (plan.finished or self._scenario.kill is None):
            self._tick()
            if plan.step(time.monotonic(), at_work=self._at_work()):
                self._kill(plan)
                killed_s = time.monotonic()
            if time.monotonic() - killed_s > _MOST_BETWEEN_KILLS_S:
                break  # the stack never comes back: what is wrong is said below
        deadline_s: float | None = None
        while True:
            self._tick()
            if self._now_ms < begin_ms + self._scenario.window_s * 1000:
                continue
            if self._scenario.for_good or (self._meter.disturbed_ms is None and self._rolled_over()):
                break
            deadline_s = deadline_s or time.monotonic() + _RECOVERY_S
            if time.monotonic() > deadline_s:
                reason = self._session.incomplete_because(self._meter.disturbed_ms or 0)
                self._result.complaints.append(f"not recovered after {_RECOVERY_S:.0f} s: {reason}")
                break
        self._result.kills, self._result.early_kills = plan.done, plan.early
        self._result.recoveries_s = self._meter.times_s

    def _tick(self) -> None:
        self._session.tick()
        now_s = time.monotonic()
        if now_s >= self._next_faults_s:
            self._next_faults_s = now_s + _FAULTS_S
            self._look_at_exchange()
        if self._power is not None and now_s >= self._next_look_s:
            self._next_look_s = now_s + _LOOK_S
            self._power.look(now_s)
        if now_s >= self._next_sample_s:
            self._next_sample_s = now_s + _SAMPLE_S
            self._sample()

    def _look_at_exchange(self) -> None:
        self._now_ms = self._session.stack.exchange_state()["now_ms"]
        for fault in self._session.stack.faults() if self._scenario.faults else ():
            if fault["last_fired_wall_ms"] is not None:
                self._meter.disturbed(fault["last_fired_wall_ms"])

    def _sample(self) -> None:
        since_ms = self._meter.disturbed_ms
        if since_ms is not None:
            reason = self._session.incomplete_because(since_ms)
            self._meter.sample(time.time_ns() // 1_000_000, complete=reason is None)
        result, report = self._result, self._session.watch.reports.get(PRODUCER)
        if report is not None:
            result.messages_per_s = max(result.messages_per_s, report.messages_per_s)
            result.rollovers = max(result.rollovers, int(report.gauges.get("rollovers", 0)))
        for name, pid in self._session.stack.processes.pids().items():
            held = held_by(pid)
            if held is not None:
                result.most_mb[name] = max(result.most_mb.get(name, 0.0), held.resident_mb)

    def _rolled_over(self) -> bool:
        return self._result.rollovers >= self._scenario.rollovers

    def _at_work(self) -> bool:
        """Whether what is to be killed has done something since it was started."""
        process = self._scenario.kill
        if process is None or process in _ENGINES:
            return self._meter.disturbed_ms is None
        started_ms = self._session.stack.processes.started_ms(process)
        streams = CONSUMERS.get(process, ())
        names = [
            name
            for name in self._session.watch.reports
            if name == process or any(name.startswith(f"consumer-{stream}") for stream in streams)
        ]
        reports = [self._session.watch.reports[name] for name in names]
        return all(report.time_ms > started_ms and report.messages for report in reports)

    def _kill(self, plan: KillPlan) -> None:
        match self._scenario.kill:
            case "kafka" | "influx" as name:
                self._meter.disturbed(time.time_ns() // 1_000_000)
                engine = self._engines.engine(name)
                engine.kill()
                engine.restart()
            case "power":
                self._cut_power(plan)
            case str() as process:
                self._meter.disturbed(self._session.stack.processes.kill(process))
        if plan.done % 10 == 0 or plan.finished:
            self._say(f"{plan.done} kills")

    def _cut_power(self, plan: KillPlan) -> None:
        kafka = self._engines.kafka
        self._meter.disturbed(time.time_ns() // 1_000_000)
        kafka.kill()
        assert self._power is not None
        cut = self._power.cut()
        self._say(f"power cut {plan.done}: {cut.logs} logs lost {cut.lost_bytes:,} bytes")
        self._session.stack.processes.excuse()
        kafka.restart()
        # Back for certain only now: services that ended meanwhile came back to a broker that was not there.
        self._meter.disturbed(time.time_ns() // 1_000_000)

    def _be_away(self, outage: Outage) -> None:
        self._tick_for(_BEFORE_OUTAGE_S)
        engine = self._engines.engine(outage.engine)
        if outage.how == "stop":
            engine.stop()
        else:
            self._engines.freeze(outage.engine)
        try:
            self._tick_for(outage.seconds)
        finally:
            if outage.how == "freeze":
                self._engines.thaw(outage.engine)
            elif outage.how == "freeze-kill":
                engine.kill()
        if outage.how != "freeze":
            engine.restart()
        self._meter.disturbed(time.time_ns() // 1_000_000)

    def _tick_for(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self._tick()
