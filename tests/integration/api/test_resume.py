"""Ten viewers through kills of the API, a broker and a store that are away: they hold what is stored."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import gt
from pathlib import Path
from typing import Any, Final

import pytest

from chaos.exchange_log import BAR_FIELDS
from chaos.injector import KillPlan
from chaos.market import Market, start_before
from chaos.servers import Servers
from chaos.session import Session
from chaos.stack import StackOptions
from chaos.store_export import Export
from cryptostream.processes.child import Command
from cryptostream.processes.server import free_port
from tests.conftest import real_influx, real_kafka
from tests.integration.api.viewer import Viewer, Viewers

pytestmark = pytest.mark.integration

API: Final = "api"
VIEWERS: Final = 10
# Two symbols: each viewer follows the bars and indicators of all of them.
SYMBOLS: Final = ("BTCUSDC", "ETHUSDC")
INTERVALS: Final = ("1s", "1m")
SPEED: Final = 2.0
SETTLE_S: Final = 20.0


@dataclass(frozen=True)
class Troubles:
    """What is done to a run, in this order; times in seconds."""

    kills: int
    broker_away_s: float
    store_away_s: float
    resume: bool = True


@dataclass
class Outcome:
    """What the viewers hold beside what the store holds."""

    rows: int = 0
    kills: int = 0
    early: int = 0  # of the kills, those that may have come before the viewers were there again
    missing: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    connections: int = 0


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    directory = tmp_path_factory.mktemp("engines")
    with Servers(real_kafka(directory / "kafka"), real_influx(directory / "influx")) as started:
        yield started


def wishes() -> list[dict[str, Any]]:
    """Requests of all bars and indicators."""
    series = [
        {"series": kind, "exchange": "binance", "symbol": symbol, "interval": interval, "last": 1500}
        for kind in ("kline", "indicator")
        for symbol in SYMBOLS
        for interval in INTERVALS
    ]
    return [{"id": number, **each} for number, each in enumerate(series, 1)]


class Run:
    """One run with its viewers."""

    def __init__(self, servers: Servers, directory: Path, troubles: Troubles) -> None:
        self._servers = servers
        self._troubles = troubles
        market = Market(
            start_before(time.time_ns() // 1_000_000), SYMBOLS, INTERVALS, rate=1.0, warmup_bars=100
        )
        self._session = Session(servers, market, StackOptions(SPEED), directory, print, books=False)
        self._port = free_port()
        self.viewers = [
            Viewer(f"ws://127.0.0.1:{self._port}/api/v1/stream", wishes(), resume=troubles.resume)
            for _ in range(VIEWERS)
        ]
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Everything, from start to the comparison."""
        session = self._session
        try:
            session.start()
            self._start_api()
            with Viewers(self.viewers):
                self._for(SETTLE_S / 2)
                self._disturb()
                self._for(SETTLE_S)
                drained = session.end()
                self._for(SETTLE_S / 2, supervised=False)
            assert not drained.complaints, drained.complaints
            self._compare(session.export(drained.window))
        finally:
            session.close()
        return self.outcome

    def _start_api(self) -> None:
        environment = {
            **self._servers.environment(),
            "SYMBOLS": ",".join(SYMBOLS),
            "INTERVALS": ",".join(INTERVALS),
            "API_PORT": str(self._port),
            "LOG_FORMAT": "text",
        }
        policy = self._session.stack.restart_policy
        self._session.stack.processes.start(
            API, lambda: Command("api", [], environment), lambda _line: None, policy=policy
        )

    def _for(self, seconds: float, *, supervised: bool = True) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if supervised:
                self._session.tick()
            else:
                time.sleep(0.1)

    def _disturb(self) -> None:
        plan = KillPlan(self._troubles.kills, seed=1)
        seen = [-1] * len(self.viewers)
        while not plan.finished:
            self._session.tick()
            # At work again when every viewer has been connected since the last kill. That may have come while
            # some were connected already.
            connected = [viewer.connections for viewer in self.viewers]
            if plan.step(time.monotonic(), at_work=all(map(gt, connected, seen))):
                seen = connected
                self._session.stack.processes.kill(API)
                self._session.stack.restart_policy.forget()
                self.outcome.kills += 1
        self.outcome.early = plan.early
        self._away("kafka", self._troubles.broker_away_s)
        self._away("influx", self._troubles.store_away_s)

    def _away(self, name: Any, seconds: float) -> None:
        if not seconds:
            return
        server = self._servers.server(name)
        server.kill()
        self._for(seconds)
        server.restart()
        self._session.stack.restart_policy.forget()
        self._for(SETTLE_S)

    def _compare(self, export: Export) -> None:
        kinds = {"kline": (BAR_FIELDS, export.bars), "indicator": (export.columns, export.indicators)}
        for viewer in self.viewers:
            self.outcome.problems += viewer.problems
            self.outcome.connections += viewer.connections
            for wish in wishes():
                names, bars = kinds[wish["series"]]
                stored = bars[wish["symbol"], wish["interval"]]
                held = viewer.rows[wish["id"]]
                assert viewer.columns[wish["id"]] == ["time_ms", *names]
                assert stored, f"nothing is stored of {wish}"
                for open_ms, numbers in stored.items():
                    self.outcome.rows += 1
                    what = f"{wish['series']} {wish['symbol']} {wish['interval']} {open_ms}"
                    if (row := held.get(open_ms)) is None:
                        self.outcome.missing.append(what)
                    elif not all(map(_same, numbers, row[1:])):
                        self.outcome.different.append(f"{what}: {row[1:]} is stored as {numbers}")


def _same(stored: float | None, held: float | None) -> bool:
    if stored is None or held is None:
        return stored is None and held is None
    return stored == held or (math.isnan(stored) and math.isnan(held))


def _report(outcome: Outcome) -> str:
    return (
        f"{outcome.rows:,} rows of {VIEWERS} viewers, {outcome.kills} kills,"
        f" {outcome.connections} connections:"
        f" {len(outcome.missing):,} missing, {len(outcome.different):,} different"
    )


def _same_as_stored(outcome: Outcome, kills: int) -> None:
    print(_report(outcome))
    assert outcome.kills == kills
    # Each viewer was connected again after each kill, but where the next one came during the start.
    assert outcome.connections >= VIEWERS * (kills + 1 - outcome.early)
    assert outcome.problems == []
    assert (outcome.missing[:5], outcome.different[:5]) == ([], []), _report(outcome)


@pytest.mark.timeout(900)
def test_viewers_hold_what_is_stored_after_kills_and_outages(servers: Servers, tmp_path: Path) -> None:
    outcome = Run(servers, tmp_path, Troubles(kills=6, broker_away_s=8, store_away_s=8)).run()
    _same_as_stored(outcome, 6)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_without_cursors_the_same_run_misses_rows(servers: Servers, tmp_path: Path) -> None:
    troubles = Troubles(kills=4, broker_away_s=0, store_away_s=0, resume=False)
    outcome = Run(servers, tmp_path, troubles).run()
    print(_report(outcome))
    assert outcome.missing


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_viewers_hold_what_is_stored_after_fifty_kills(servers: Servers, tmp_path: Path) -> None:
    outcome = Run(servers, tmp_path, Troubles(kills=50, broker_away_s=60, store_away_s=120)).run()
    _same_as_stored(outcome, 50)
