"""Injects the faults of a scenario into a running session, and measures the session meanwhile."""

from __future__ import annotations

import random
import time
from typing import Final

from chaos.power import Power
from chaos.recovery import RecoveryMeter
from chaos.result import Result
from chaos.scenarios import POWER, Outage, Scenario
from chaos.servers import Servers
from chaos.session import Session
from chaos.soak import process_usage
from chaos.stack import CONSUMERS, PRODUCER
from cryptostream.processes.supervisor import Say

# Services report once a second: four samples tell recoveries apart.
_SAMPLE_S: Final = 0.25
_FAULTS_S: Final = 0.5
_LOOK_S: Final = 1.0
_MOST_BETWEEN_KILLS_S: Final = 180.0
_BEFORE_OUTAGE_S: Final = 3.0
_SERVERS: Final = ("kafka", "influx", POWER)
_SHORTEST_WAIT_S: Final = 0.2
_LONGEST_WAIT_S: Final = 3.0
# One kill in so many hits a starting process: reading its state, joining its group.
_ONE_EARLY_IN: Final = 4


class KillPlan:
    """When a process is killed: `count` times, each 0.2–3 s after it is working again; some during its start.

    Seeded. Pure.

    Attributes:
        done: kills so far. early: kills during a start.
        chance: the source of randomness.
    """

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self.chance = random.Random(seed)
        self._due_s: float | None = None
        self.done = 0
        self.early = 0

    @property
    def finished(self) -> bool:
        return self.done >= self._count

    def step(self, now_s: float, *, at_work: bool) -> bool:
        """Whether to kill now; call it several times a second."""
        if self.finished:
            return False
        early = self.done % _ONE_EARLY_IN == _ONE_EARLY_IN - 1
        if self._due_s is None and (at_work or early):
            self._due_s = now_s + self.chance.uniform(_SHORTEST_WAIT_S, _LONGEST_WAIT_S)
        if self._due_s is None or now_s < self._due_s:
            return False
        self.done += 1
        self.early += early
        self._due_s = None
        return True


class FaultInjector:
    """Runs a session through its scenario until it is complete again.

    Args:
        result: receives the figures.
        recovery_s: within which the session has to be complete at the end.
    """

    def __init__(
        self,
        session: Session,
        servers: Servers,
        scenario: Scenario,
        result: Result,
        say: Say,
        *,
        recovery_s: float,
    ) -> None:
        self._recovery_s = recovery_s
        self._session = session
        self._servers = servers
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
        """Inject the faults, and wait until the stack has recovered and the window is over.

        Args:
            begin_ms: the world's time at which the window begins.
        """
        if self._scenario.outage is not None:
            self._be_away(self._scenario.outage)
        if self._scenario.kill == POWER:
            self._power = Power(self._servers.kafka.log_dir, plan.chance)
        killed_s = time.monotonic()
        while not (plan.finished or self._scenario.kill is None):
            self._tick()
            if plan.step(time.monotonic(), at_work=self._at_work()):
                self._kill(plan)
                killed_s = time.monotonic()
            if time.monotonic() - killed_s > _MOST_BETWEEN_KILLS_S:
                break  # the stack does not recover: reported below
        deadline_s: float | None = None
        while True:
            self._tick()
            if self._now_ms < begin_ms + self._scenario.window_s * 1000:
                continue
            if self._scenario.for_good or (self._meter.disturbed_ms is None and self._rolled_over()):
                break
            deadline_s = deadline_s or time.monotonic() + self._recovery_s
            if time.monotonic() > deadline_s:
                reason = self._session.incomplete_because(self._meter.disturbed_ms or 0)
                self._result.complaints.append(f"not recovered after {self._recovery_s:.0f} s: {reason}")
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
        result, report = self._result, self._session.monitor.reports.get(PRODUCER)
        if report is not None:
            result.messages_per_s = max(result.messages_per_s, report.messages_per_s)
            result.rollovers = max(result.rollovers, int(report.gauges.get("rollovers", 0)))
        for name, pid in self._session.stack.processes.pids().items():
            usage = process_usage(pid)
            if usage is not None:
                result.most_mb[name] = max(result.most_mb.get(name, 0.0), usage.resident_mb)

    def _rolled_over(self) -> bool:
        return self._result.rollovers >= self._scenario.rollovers

    def _at_work(self) -> bool:
        """Whether the process to be killed has processed messages since its start."""
        process = self._scenario.kill
        if process is None or process in _SERVERS:
            return self._meter.disturbed_ms is None
        started_ms = self._session.stack.processes.started_ms(process)
        streams = CONSUMERS.get(process, ())
        names = [
            name
            for name in self._session.monitor.reports
            if name == process or any(name.startswith(f"consumer-{stream}") for stream in streams)
        ]
        reports = [self._session.monitor.reports[name] for name in names]
        return all(report.time_ms > started_ms and report.messages for report in reports)

    def _kill(self, plan: KillPlan) -> None:
        match self._scenario.kill:
            case "kafka" | "influx" as name:
                self._meter.disturbed(time.time_ns() // 1_000_000)
                server = self._servers.server(name)
                server.kill()
                server.restart()
            case "power":
                self._cut_power(plan)
            case str() as process:
                self._meter.disturbed(self._session.stack.processes.kill(process))
        if plan.done % 10 == 0 or plan.finished:
            self._say(f"{plan.done} kills")

    def _cut_power(self, plan: KillPlan) -> None:
        kafka = self._servers.kafka
        self._meter.disturbed(time.time_ns() // 1_000_000)
        kafka.kill()
        assert self._power is not None
        cut = self._power.cut()
        self._say(f"power cut {plan.done}: {cut.logs} logs lost {cut.lost_bytes:,} bytes")
        self._session.stack.restart_policy.forget()
        kafka.restart()
        # From here on the broker is back; services that restarted before did not reach it.
        self._meter.disturbed(time.time_ns() // 1_000_000)

    def _be_away(self, outage: Outage) -> None:
        self._tick_for(_BEFORE_OUTAGE_S)
        server = self._servers.server(outage.server)
        if outage.how == "stop":
            server.stop()
        else:
            self._servers.freeze(outage.server)
        try:
            self._tick_for(outage.seconds)
        finally:
            if outage.how == "freeze":
                self._servers.thaw(outage.server)
            elif outage.how == "freeze-kill":
                server.kill()
        if outage.how != "freeze":
            server.restart()
        self._meter.disturbed(time.time_ns() // 1_000_000)

    def _tick_for(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self._tick()
