"""Makes the run of a plan: starts an exchange and the command under test, and injects the faults."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

from oracle.checks import Case, Ended, Span
from oracle.exchange_log import read_exchange_log
from oracle.influxdb import InfluxDB
from oracle.plan import Act, Plan
from oracle.processes import ROOT, Exchange, Program, environment, signal_child
from oracle.stores import Stored, read_sqlite

# After its first request to the exchange the command connects its streams and asks REST for the newest ids.
_GRACE_S: Final = 20.0
# Before the first request the run's own broker starts; a later first request is too late.
_UP_S: Final = 60.0
# What the command logs at the end of its duration, and the age below which data may still be in flight.
_STOPPING: Final = "stopping after"
_ON_ITS_WAY_MS: Final = 2_000
# Beyond its duration: the broker starts; at the end a run flushes, drains (60 s) and ends its processes.
_WIND_DOWN_S: Final = 240.0
# Some trades a second of every symbol, so that each second can lose some.
_RATE: Final = "4"
# A kernel writes dirty pages within 30 s: at these rates less than this.
_MOST_CUT_BYTES: Final = 60_000
_AGAIN_S: Final = 0.5
_STORE_FILE: Final = "cryptostream.db"


class Run:
    """One plan, carried out in a directory of its own.

    Args:
        command: the command under test, like `cryptostream`.
        python_path: the tree that holds its packages.
    """

    def __init__(self, plan: Plan, directory: Path, command: Sequence[str], python_path: Path = ROOT) -> None:
        self._plan = plan
        self._directory = directory
        self._command = tuple(command)
        self._python_path = python_path
        self._clock_file = directory / "clock-offset"
        self._before: list[Stored] = []
        self._taken_until_ms: int | None = None
        self._todo: list[tuple[float, Callable[[Program], None]]] = []
        for act in plan.acts:
            self._todo.append((act.at_s, partial(self._do, act)))
            if act.what == "clock":
                self._todo.append((act.until_s, lambda _program: self._set_clock(0.0)))
        self._todo.sort(key=lambda entry: entry[0])

    def carry_out(self) -> Case:
        """All invocations of the plan. Raises OracleError if the run could not be made."""
        plan, directory = self._plan, self._directory
        (directory / "faults.json").write_text(json.dumps({"faults": plan.faults}), encoding="utf-8")
        arguments = ["--symbols", ",".join(plan.symbols), "--seed", str(plan.seed), "--rate", _RATE]
        arguments += ["--log-intervals", ",".join(plan.intervals), "--faults", str(directory / "faults.json")]
        spans: list[Span] = []
        with ExitStack() as opened:
            self._influxdb = (
                opened.enter_context(InfluxDB(directory / "influxdb")) if plan.store == "influxdb" else None
            )
            exchange = self._exchange = opened.enter_context(Exchange(arguments, directory))
            self._began_s = time.monotonic()
            for number, duration_s in enumerate(plan.durations_s):
                span, ended = self._invoke(exchange, number, duration_s)
                spans.append(span)
                stored = self._read_store()
                if stored is not None and number + 1 < len(plan.durations_s):
                    self._before.append(stored)
            exchange.check()
            asked_ms = exchange.first_asked_ms()
        latest_ms = spans[0].begin_ms + round(_UP_S * 1000)
        begin_ms = latest_ms if asked_ms is None else min(latest_ms, asked_ms + round(_GRACE_S * 1000))
        return Case(
            issued=read_exchange_log(exchange.log),
            stored=stored,
            ended=ended,
            span=Span(begin_ms, spans[-1].end_ms),
            symbols=plan.symbols,
            intervals=plan.intervals,
            away=tuple(
                Span(earlier.end_ms, later.begin_ms + round(_UP_S * 1000))
                for earlier, later in pairwise(spans)
            ),
            before=tuple(self._before),
            taken_until_ms=self._taken_until_ms,
            undisturbed=plan.undisturbed,
        )

    def _invoke(self, exchange: Exchange, number: int, duration_s: float) -> tuple[Span, Ended]:
        begin_ms = exchange.now_ms()
        started_s = time.monotonic()
        program = Program(
            [*self._command, "run", "--source", "live", *self._arguments(duration_s)],
            self._directory,
            environment(
                PYTHONPATH=f"{self._python_path}:{ROOT / 'oracle' / 'clock'}",
                ORACLE_CLOCK_FILE=str(self._clock_file),
                BINANCE_REST_URL=exchange.url,
                BINANCE_WS_URL=exchange.ws_url,
                **(self._influxdb.settings if self._influxdb else {}),
            ),
            say_to=self._directory / f"run-{number}.log",
        )
        end_ms = begin_ms
        stopping_ms: int | None = None

        def meanwhile() -> None:
            nonlocal end_ms, stopping_ms
            while self._todo and time.monotonic() - self._began_s >= self._todo[0][0]:
                self._todo.pop(0)[1](program)
            # The command counts its duration from the start of its services, and logs when it is over.
            if end_ms == begin_ms and time.monotonic() - started_s >= duration_s:
                end_ms = exchange.now_ms()
            if stopping_ms is None and any(_STOPPING in line for line in program.lines[-20:]):
                stopping_ms = exchange.now_ms() - _ON_ITS_WAY_MS

        exit_code = program.wait(started_s + duration_s + _WIND_DOWN_S, meanwhile)
        if end_ms == begin_ms:
            end_ms = exchange.now_ms()
        return Span(begin_ms, max(end_ms, stopping_ms or end_ms)), Ended(exit_code, tuple(program.lines))

    def _arguments(self, duration_s: float) -> list[str]:
        plan = self._plan
        return [
            *("--broker", plan.broker, "--store", plan.store, "--duration", f"{duration_s:g}", "--no-ui"),
            *("--symbols", ",".join(plan.symbols), "--intervals", ",".join(plan.intervals)),
            *("--data-dir", str(self._directory / "data")),
        ]

    def _do(self, act: Act, program: Program) -> None:
        match act.what:
            case "kill" | "freeze":
                number = signal.SIGKILL if act.what == "kill" else signal.SIGSTOP
                if not signal_child(program.process.pid, act.target, number):
                    # On a busy machine it may not have been started yet.
                    again_s = time.monotonic() - self._began_s + _AGAIN_S
                    self._todo.insert(0, (again_s, partial(self._do, act)))
                    self._todo.sort(key=lambda entry: entry[0])
            case "power-cut":
                program.kill()
                self._cut_tails(random.Random(self._plan.seed))
            case "freeze-store" if self._influxdb is not None:
                self._influxdb.freeze()
            case "clock":
                stored = self._read_store()
                if stored is not None and self._taken_until_ms is None:
                    self._before.append(stored)
                self._set_clock(act.seconds)
            case "remove-store":
                self._before.clear()
                for file in (self._directory / "data").glob(f"{_STORE_FILE}*"):
                    file.unlink(missing_ok=True)
                self._taken_until_ms = self._exchange.now_ms()

    def _cut_tails(self, draw: random.Random) -> None:
        """Truncate each of the broker's files, independently, by what may not have reached the disk."""
        for file in sorted((self._directory / "data" / "kafka").rglob("*.log")):
            size = file.stat().st_size
            os.truncate(file, size - draw.randint(0, min(size, _MOST_CUT_BYTES)))

    def _set_clock(self, offset_s: float) -> None:
        new = self._clock_file.with_suffix(".new")
        new.write_text(f"{offset_s:g}", encoding="ascii")
        new.replace(self._clock_file)

    def _read_store(self) -> Stored | None:
        if self._influxdb is not None:
            self._influxdb.thaw()
            return self._influxdb.read()
        return read_sqlite(self._directory / "data" / _STORE_FILE)
