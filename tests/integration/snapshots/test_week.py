"""A week of slots, everything going wrong: one row a key, none twice, each of the status it must have."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.extras import require_snapshot_extras

require_snapshot_extras()

from pipelines.snapshots import steps
from pipelines.snapshots.landing.files import SnapshotFiles
from pipelines.snapshots.landing.local import LocalLanding
from pipelines.snapshots.landing.port import Blob, LandingPlace, LandingUnavailable
from pipelines.snapshots.landing.spool import Spool
from pipelines.snapshots.places import Places
from pipelines.snapshots.quality.rules import Usual, Verdict, judge
from pipelines.snapshots.result import RunResult
from pipelines.snapshots.rows import SnapshotRow
from pipelines.snapshots.run import run_slot
from pipelines.snapshots.settings import SnapshotSettings, load_snapshot_settings
from pipelines.snapshots.slots import day_start_ms, days_between
from tests.plain_exchange import BAR, DAY, PlainExchange, VirtualHost
from tests.virtual_time import run_virtually

SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT")
START = 1_785_715_200_000  # 2026-08-03T00:00Z
SLOTS = range(START, START + 7 * DAY, BAR)
FAULTS = (
    "rest_429:probability=0.004,retry_after=20",
    "rest_418:probability=0.001,retry_after=130",
    "rest_5xx:probability=0.03",
    "rest_garbage:probability=0.03",
    "rest_cut:probability=0.01",
    # Two whole outages: one of a quarter of an hour, one of three.
    f"rest_5xx:from={20 * 3600},to={20 * 3600 + 900},probability=1",
    f"rest_5xx:from={90 * 3600},to={93 * 3600},probability=1",
)
HALTS = {
    "ETHUSDT": [range(START + 30 * 3_600_000, START + 32 * 3_600_000)],
    "BNBUSDT": [range(START + 100 * 3_600_000, START + 100 * 3_600_000 + 4 * BAR)],
}
# Rules cost 31 ms a run, 80 s a week, and have tests of their own: they are applied on two days, when the
# exchange's books are crossed now and then.
CHECKED = (range(START + DAY, START + 2 * DAY), range(START + 5 * DAY, START + 6 * DAY))
CROSSED = {
    symbol: [
        range(begin, begin + BAR)
        for day in CHECKED
        for begin in range(day.start + place * 3 * BAR, day.stop, 25 * BAR)
    ]
    for place, symbol in enumerate(SYMBOLS)
}
# The landing place is away for six hours, and again for one.
AWAY = (
    range(START + 50 * 3_600_000, START + 56 * 3_600_000),
    range(START + 120 * 3_600_000, START + 121 * 3_600_000),
)


class Killed(BaseException):
    """The process died here; nothing catches it."""


@dataclass
class Fuse:
    """Kills at the n-th write or delete, before or after it is done."""

    left: int | None = None
    after: bool = False

    def burn(self, work: Callable[[], Any]) -> Any:
        if self.left is None:
            return work()
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        done = work()
        if self.left == 0:
            raise Killed
        return done


@dataclass
class Mortal:
    """A landing place in a process that may be killed, and that may be away."""

    place: LandingPlace
    fuse: Fuse
    away: Callable[[], bool] = lambda: False

    def names(self, folder: str) -> list[str]:
        self._check()
        return self.place.names(folder)

    def read(self, name: str) -> Blob | None:
        self._check()
        return self.place.read(name)

    def write(self, name: str, content: bytes, version: str | None) -> None:
        self._check()
        self.fuse.burn(lambda: self.place.write(name, content, version))

    def delete(self, name: str, version: str | None = None) -> None:
        self._check()
        self.fuse.burn(lambda: self.place.delete(name, version))

    def _check(self) -> None:
        if self.away():
            raise LandingUnavailable("away")


@dataclass
class Week:
    """The driver, and what it knows must come out."""

    directory: Path
    host: VirtualHost
    settings: SnapshotSettings
    expected_complete: set[tuple[str, int]] = field(default_factory=set)
    held_back: set[tuple[str, int]] = field(default_factory=set)
    kills: int = 0
    results: Counter[str] = field(default_factory=Counter)

    async def process(self, slot_ms: int, fuse: Fuse | None = None) -> RunResult | None:
        """One process: a run from its start to its end, or to where it is killed."""
        fuse = fuse or Fuse()
        served: Counter[tuple[str, str]] = Counter()
        exchange = self.host.client(0.5, served)
        place = Mortal(
            LocalLanding(self.directory / "parquet"),
            fuse,
            lambda: any(self.host.now_ms() in span for span in AWAY),
        )
        spool = Spool(self.directory / "spool")
        spool._place = Mortal(spool._place, fuse)  # type: ignore[assignment]
        state = Mortal(LocalLanding(self.directory / "state"), fuse)
        places = Places(spool, place, SnapshotFiles(place, BAR), state)

        async def keep(*arguments: Any) -> None:
            before = self.host.now_ms()
            try:
                await steps.keep(*arguments)
            except Killed:
                # Rows that reached the spool before the kill are kept all the same.
                if self._kept(slot_ms):
                    self._enter(slot_ms, served, before)
                raise
            self._enter(slot_ms, served, before)

        try:
            result = await run_slot(
                self.settings, exchange, places, slot_ms, "scheduled", steps=steps.Steps(keep=keep)
            )
        except Killed:
            self.kills += 1
            return None
        self.results[result.state] += 1
        return result

    def _kept(self, slot_ms: int) -> bool:
        return any(path.name.startswith(str(slot_ms)) for path in (self.directory / "spool/rows").glob("*"))

    def _enter(self, slot_ms: int, served: Counter[tuple[str, str]], now_ms: int) -> None:
        """What the exchange's log says: a symbol that it answered wholly within the slot is complete, unless
        what it answered breaks a rule."""
        assert now_ms < slot_ms + BAR or not any(path == "depth" for path, _ in served)
        for symbol in SYMBOLS:
            if all(served[path, symbol] for path in ("ticker/24hr", "depth", "trades")):
                answered_in_order = not any(slot_ms in span for span in CROSSED[symbol])
                (self.expected_complete if answered_in_order else self.held_back).add((symbol, slot_ms))


def judge_on_checked_days(rows: Sequence[SnapshotRow], usual: Usual) -> Verdict:
    if rows and any(rows[0].slot_ms in day for day in CHECKED):
        return judge(rows, usual)
    return Verdict(tuple(rows), ())


async def live_through(week: Week) -> None:
    random_ = random.Random(11)
    loop = asyncio.get_running_loop()
    for slot_ms in SLOTS:
        start_ms = slot_ms + random_.randint(-400, 2_000)
        await asyncio.sleep(max(0.0, (start_ms - week.host.now_ms()) / 1000))
        match random_.choices(
            ["once", "no run", "twice", "overlapping", "killed", "late"], [60, 4, 10, 10, 12, 4]
        )[0]:
            case "once":
                await week.process(slot_ms)
            case "twice":
                await week.process(slot_ms)
                await week.process(slot_ms)
            case "overlapping":
                await asyncio.gather(week.process(slot_ms), week.process(slot_ms))
            case "killed":
                await week.process(slot_ms, Fuse(random_.randint(1, 9), after=random_.random() < 0.5))
                if random_.random() < 0.5:  # started again by whoever watches it
                    await week.process(slot_ms)
            case "late":
                await asyncio.sleep(max(0.0, (slot_ms + BAR + 1_000 - week.host.now_ms()) / 1000))
                await week.process(slot_ms)
        assert loop.time() >= 0
    # The week is over: runs of the hour after it, undisturbed, fill what is still open.
    for slot_ms in range(SLOTS.stop, SLOTS.stop + 12 * BAR, BAR):
        await asyncio.sleep(max(0.0, (slot_ms - week.host.now_ms()) / 1000))
        await week.process(slot_ms)


@pytest.mark.timeout(1500)
def test_a_week_of_faults_ends_with_one_row_per_slot_of_the_status_it_must_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)  # processes are killed, not the machine
    monkeypatch.delenv("SNAPSHOT_LANDING", raising=False)
    monkeypatch.setattr(steps, "judge", judge_on_checked_days)
    exchange = PlainExchange(SYMBOLS, START, SLOTS.stop + DAY, HALTS)
    exchange.crossed = CROSSED
    # Its thousands of warnings would be kept for a failure's report.
    monkeypatch.setattr(logging.getLogger("pipelines.snapshots.run"), "disabled", True)
    host = VirtualHost(exchange, START - 1_000, FAULTS)
    settings = load_snapshot_settings(
        snapshot_symbols=",".join(SYMBOLS), snapshot_dir=tmp_path, log_level="ERROR"
    )
    week = Week(tmp_path, host, settings)
    run_virtually(live_through(week))

    rows = [row for row in _raw_rows(tmp_path / "parquet") if row.slot_ms in SLOTS]
    assert len(rows) == len({row.key for row in rows}) == len(SYMBOLS) * len(SLOTS), (
        "one row a key, none twice"
    )
    by_key = {(row.symbol, row.slot_ms): row for row in rows}
    wrong = []
    for (symbol, slot_ms), row in by_key.items():
        if (symbol, slot_ms) in week.expected_complete:
            must = "complete"
        else:
            must = "missing" if exchange.halted(symbol, slot_ms - BAR) else "backfilled"
        if row.status != must:
            wrong.append((symbol, slot_ms, row.status, row.reason, must))
    assert wrong == []
    quarantined = _quarantined(tmp_path / "parquet/quarantine")
    assert quarantined == {(symbol, slot_ms, "rule: bid_below_ask") for symbol, slot_ms in week.held_back}
    # The faults were there: without that the test would say nothing.
    statuses = Counter(row.status for row in rows)
    assert week.kills > 100 and min(host.log[status] for status in (429, 418, 500, 502)) > 5
    assert statuses["complete"] > 4_000 and statuses["backfilled"] > 500 and statuses["missing"] > 20
    assert len(quarantined) > 50
    assert max(host.weight_by_minute.values()) <= 3_000
    assert not list((tmp_path / "spool/rows").glob("*")) and not list(tmp_path.rglob("*.part"))
    print(f"\n{dict(statuses)}, {week.kills} kills, runs {dict(week.results)}, answers {dict(host.log)}")


def _quarantined(root: Path) -> set[tuple[str, int, str]]:
    """Symbol, slot and reason of rows that broke a rule."""
    entries = [entry for path in root.rglob("*.parquet") for entry in pq.read_table(path).to_pylist()]
    return {
        (entry["symbol"], round(entry["slot"].timestamp() * 1000), entry["reason"])
        for entry in entries
        if entry["reason"].startswith("rule")
    }


def _raw_rows(root: Path) -> list[SnapshotRow]:
    """Rows of all files as they lie there, not merged."""
    from pipelines.snapshots.frame import rows_of

    found = []
    for path in sorted(root.glob("exchange=binance/date=*/*.parquet")):
        found += rows_of(pq.read_table(path, partitioning=None))
    assert {path.name for path in root.glob("exchange=binance/date=2026-08-03/*")} == {"day.parquet"}
    assert len(days_between(START, SLOTS.stop)) == 8 and day_start_ms(days_between(START, START)[0]) == START
    return found
