"""Slots lived through under every trouble there is: overlapping, repeated, killed and late runs, a faulty
exchange, halts, crossed books, an absent landing place. One row a key must be left, of the right status.

`WEEK` is `make week`; `DAY_OF_ALL` has the same troubles closer together, for a test.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import pyarrow.parquet as pq

from pipelines.snapshots import steps
from pipelines.snapshots.destinations import Destinations
from pipelines.snapshots.frame import rows_of
from pipelines.snapshots.landing.files import SnapshotFiles
from pipelines.snapshots.landing.local import LocalLanding
from pipelines.snapshots.landing.port import Blob, Landing, LandingUnavailable
from pipelines.snapshots.landing.spool import Spool
from pipelines.snapshots.quality.rules import Baseline, RuleCheck, check_rules
from pipelines.snapshots.result import RunResult
from pipelines.snapshots.rows import SnapshotRow
from pipelines.snapshots.run import run_slot
from pipelines.snapshots.settings import SnapshotSettings, load_snapshot_settings
from tests.plain_exchange import BAR, DAY, PlainExchange, VirtualHost
from tests.virtual_time import run_virtually

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "BNBUSDT")
START: Final = 1_785_715_200_000  # 2026-08-03T00:00Z
HOUR: Final = 3_600_000
Hours = tuple[float, float]


@dataclass(frozen=True)
class Troubles:
    """What happens in a span of slots; hours count from `START`.

    Attributes:
        hours: the span.
        faults: of requests, by chance. outages: no request is answered.
        halts: of a symbol's trading. away: nothing can be landed.
        checked: rules are applied, and books are crossed now and then. They cost 31 ms a run and have
            tests of their own, hence not everywhere.
    """

    hours: Hours
    faults: tuple[str, ...]
    outages: tuple[Hours, ...]
    halts: Mapping[str, Hours]
    away: tuple[Hours, ...]
    checked: tuple[Hours, ...]

    @property
    def slots(self) -> range:
        return range(_span(self.hours).start, _span(self.hours).stop, BAR)

    @property
    def script(self) -> list[str]:
        """Of the exchange."""
        whole = (
            f"rest_5xx:from={round(begin * 3600)},to={round(end * 3600)},probability=1"
            for begin, end in self.outages
        )
        return [*self.faults, *whole]

    @property
    def halted(self) -> dict[str, list[range]]:
        return {symbol: [_span(hours)] for symbol, hours in self.halts.items()}

    @cached_property
    def crossed(self) -> dict[str, list[range]]:
        """When a symbol's book is out of order: every 25th slot that is checked."""
        return {
            symbol: [
                range(begin, begin + BAR)
                for span in map(_span, self.checked)
                for begin in range(span.start + place * 3 * BAR, span.stop, 25 * BAR)
            ]
            for place, symbol in enumerate(SYMBOLS)
        }


def _span(hours: Hours) -> range:
    return range(START + round(hours[0] * HOUR), START + round(hours[1] * HOUR))


WEEK: Final = Troubles(
    hours=(0, 7 * 24),
    faults=(
        "rest_429:probability=0.004,retry_after=20",
        "rest_418:probability=0.001,retry_after=130",
        "rest_5xx:probability=0.03",
        "rest_garbage:probability=0.03",
        "rest_cut:probability=0.01",
    ),
    outages=((20, 20.25), (90, 93)),
    halts={"ETHUSDT": (30, 32), "BNBUSDT": (100, 100 + 1 / 3)},
    away=((50, 56), (120, 121)),
    checked=((24, 48), (120, 144)),
)
DAY_OF_ALL: Final = Troubles(
    hours=(12, 36),  # a midnight lies within, and the compaction after it
    faults=(
        "rest_429:probability=0.006,retry_after=20",
        "rest_418:probability=0.003,retry_after=130",
        "rest_5xx:probability=0.03",
        "rest_garbage:probability=0.03",
        "rest_cut:probability=0.01",
    ),
    outages=((15, 15.25), (19, 21)),
    halts={"ETHUSDT": (17, 18), "BNBUSDT": (29, 29 + 1 / 3)},
    away=((27, 30), (33, 33.5)),
    checked=((12, 20),),
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

    landing: Landing
    fuse: Fuse
    away: Callable[[], bool] = lambda: False

    def names(self, folder: str) -> list[str]:
        self._check()
        return self.landing.names(folder)

    def read(self, name: str) -> Blob | None:
        self._check()
        return self.landing.read(name)

    def write(self, name: str, content: bytes, version: str | None) -> None:
        self._check()
        self.fuse.burn(lambda: self.landing.write(name, content, version))

    def delete(self, name: str, version: str | None = None) -> None:
        self._check()
        self.fuse.burn(lambda: self.landing.delete(name, version))

    def _check(self) -> None:
        if self.away():
            raise LandingUnavailable("away")


@dataclass
class Life:
    """The driver, and what it knows must come out."""

    directory: Path
    troubles: Troubles
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
        landing = Mortal(
            LocalLanding(self.directory / "parquet"),
            fuse,
            lambda: any(self.host.now_ms() in _span(hours) for hours in self.troubles.away),
        )
        spool = Spool(self.directory / "spool")
        spool._local = Mortal(spool._local, fuse)  # type: ignore[assignment]
        state = Mortal(LocalLanding(self.directory / "state"), fuse)
        destinations = Destinations(spool, landing, SnapshotFiles(landing, BAR), state)

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
                self.settings, exchange, destinations, slot_ms, "scheduled", steps=steps.Steps(keep=keep)
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
                answered_in_order = not any(slot_ms in span for span in self.troubles.crossed[symbol])
                (self.expected_complete if answered_in_order else self.held_back).add((symbol, slot_ms))


async def _live_through(life: Life) -> None:
    random_ = random.Random(11)
    slots = life.troubles.slots
    for slot_ms in slots:
        await _until(life, slot_ms + random_.randint(-400, 2_000))
        match random_.choices(
            ["once", "no run", "twice", "overlapping", "killed", "late"], [60, 4, 10, 10, 12, 4]
        )[0]:
            case "once":
                await life.process(slot_ms)
            case "twice":
                await life.process(slot_ms)
                await life.process(slot_ms)
            case "overlapping":
                await asyncio.gather(life.process(slot_ms), life.process(slot_ms))
            case "killed":
                await life.process(slot_ms, Fuse(random_.randint(1, 9), after=random_.random() < 0.5))
                if random_.random() < 0.5:  # started again by whoever watches it
                    await life.process(slot_ms)
            case "late":
                await _until(life, slot_ms + BAR + 1_000)
                await life.process(slot_ms)
    # It is over: runs of the hour after it, undisturbed, fill what is still open.
    for slot_ms in range(slots.stop, slots.stop + 12 * BAR, BAR):
        await _until(life, slot_ms)
        await life.process(slot_ms)


async def _until(life: Life, time_ms: int) -> None:
    await asyncio.sleep(max(0.0, (time_ms - life.host.now_ms()) / 1000))


@dataclass(frozen=True)
class Lived:
    """What a span left behind.

    Attributes:
        statuses: of the rows. runs: how they ended. answers: of the exchange, by status.
        quarantined: rows that broke a rule. most_weight: in a minute.
        broken: one line for each promise that was not kept.
    """

    statuses: Counter[str]
    kills: int
    runs: Counter[str]
    answers: Counter[int]
    quarantined: int
    most_weight: int
    broken: list[str]


def live(troubles: Troubles, directory: Path) -> Lived:
    """Live through it, in virtual time, and check what is left in `directory`."""
    exchange = PlainExchange(SYMBOLS, START, troubles.slots.stop + DAY, troubles.halted)
    exchange.crossed = troubles.crossed
    host = VirtualHost(exchange, START - 1_000, troubles.script)
    with _without_what_costs_time(troubles), patch.dict(os.environ):
        os.environ.pop("SNAPSHOT_LANDING", None)
        settings = load_snapshot_settings(
            snapshot_symbols=",".join(SYMBOLS), snapshot_dir=directory, log_level="ERROR"
        )
        life = Life(directory, troubles, host, settings)
        run_virtually(_live_through(life))
    rows = [row for row in _raw_rows(directory / "parquet") if row.slot_ms in troubles.slots]
    quarantined = _quarantined(directory / "parquet/quarantine")
    return Lived(
        statuses=Counter(row.status for row in rows),
        kills=life.kills,
        runs=life.results,
        answers=host.log,
        quarantined=len(quarantined),
        most_weight=max(host.weight_by_minute.values()),
        broken=[*_broken(life, exchange, rows, quarantined), *_left_over(directory)],
    )


@contextmanager
def _without_what_costs_time(troubles: Troubles) -> Iterator[None]:
    """Processes are killed here, not the machine; rules are applied where `troubles` says."""
    checked = [_span(hours) for hours in troubles.checked]

    def check_where_observed(rows: Sequence[SnapshotRow], baseline: Baseline) -> RuleCheck:
        if rows and any(rows[0].slot_ms in span for span in checked):
            return check_rules(rows, baseline)
        return RuleCheck(tuple(rows), ())

    with (
        patch.object(os, "fsync", lambda _descriptor: None),
        patch.object(steps, "check_rules", check_where_observed),
        # Its thousands of warnings would be kept for a failure's report.
        patch.object(logging.getLogger("pipelines.snapshots.run"), "disabled", True),
    ):
        yield


def _broken(
    life: Life, exchange: PlainExchange, rows: list[SnapshotRow], quarantined: set[tuple[str, int, str]]
) -> Iterator[str]:
    keys = Counter(row.key for row in rows)
    yield from (f"{key} is there {number} times" for key, number in keys.items() if number > 1)
    by_key = {(row.symbol, row.slot_ms): row for row in rows}
    for symbol in SYMBOLS:
        for slot_ms in life.troubles.slots:
            row = by_key.get((symbol, slot_ms))
            if (symbol, slot_ms) in life.expected_complete:
                must = "complete"
            else:
                must = "missing" if exchange.halted(symbol, slot_ms - BAR) else "backfilled"
            if row is None:
                yield f"{symbol} {slot_ms}: no row"
            elif row.status != must:
                yield f"{symbol} {slot_ms}: {row.status} ({row.reason}), not {must}"
    expected = {(symbol, slot_ms, "rule: bid_below_ask") for symbol, slot_ms in life.held_back}
    yield from (f"{entry} is in quarantine" for entry in sorted(quarantined - expected))
    yield from (f"{entry} is not in quarantine" for entry in sorted(expected - quarantined))
    if (most := max(life.host.weight_by_minute.values())) > 3_000:
        yield f"{most} of weight in a minute, more than the share of 3,000"


def _left_over(directory: Path) -> Iterator[str]:
    yield from (f"left in the spool: {path.name}" for path in (directory / "spool/rows").glob("*"))
    yield from (f"left half-written: {path.name}" for path in directory.rglob("*.part"))
    first_day = {path.name for path in directory.glob("parquet/exchange=binance/date=2026-08-03/*")}
    if first_day != {"day.parquet"}:
        yield f"the first day is not compacted: {sorted(first_day)}"


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
    found = []
    for path in sorted(root.glob("exchange=binance/date=*/*.parquet")):
        found += rows_of(pq.read_table(path, partitioning=None))
    return found
