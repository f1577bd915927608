"""A long run without disturbance: does memory grow, do files stay open, are the promises kept."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson

from cryptostream.chaos.differences import Differences
from cryptostream.chaos.engines import Engines
from cryptostream.chaos.growth import slope_per_hour
from cryptostream.chaos.market import Market, Window
from cryptostream.chaos.memory import Held, held_by
from cryptostream.chaos.processes import Say
from cryptostream.chaos.session import Session
from cryptostream.chaos.stack import StackOptions
from cryptostream.chaos.verdicts import against_claims, against_truth

SAMPLE_S: Final = 10.0
# Queues fill, caches warm up, librdkafka and the JVM take their arenas: what grows after that grows for good.
SETTLE_S: Final = 600.0
_WRITE_S: Final = 300.0
# What the arenas of an allocator do in an hour without anything growing; a leak of one small object for each
# of 700 messages a second is 100 MB.
MOST_MB_AN_HOUR: Final = 10.0
MOST_FILES: Final = 5
# The engines are not ours: their figures are shown and not judged.
ENGINES: Final = ("kafka", "influxd")


@dataclass(slots=True)
class SoakResult:
    """Figures so far.

    Attributes:
        samples: by process, (seconds since all were at work, what it held).
        finished: False while the run goes on.
    """

    began: datetime
    speed: float
    symbols: int
    samples: dict[str, list[tuple[float, Held]]]
    rates: list[float]
    seconds: float = 0.0
    finished: bool = False
    restarts: tuple[str, ...] = ()
    complaints: tuple[str, ...] = ()
    differences: Differences | None = None
    rows: int = 0

    def slope(self, process: str) -> float | None:
        """MB an hour of resident memory after the first ten minutes."""
        samples = self._settled(process)
        return slope_per_hour([(at_s, held.resident_mb) for at_s, held in samples])

    def files_grown(self, process: str) -> int:
        """Open files at the end, less those after the first ten minutes."""
        samples = self._settled(process)
        return samples[-1][1].open_files - samples[0][1].open_files if samples else 0

    def broken(self) -> list[str]:
        """One line for each promise that was not kept."""
        lines = [*self.restarts, *self.complaints]
        lines += self.differences.lines() if self.differences is not None else []
        for process in self.samples:
            if process in ENGINES:
                continue
            slope = self.slope(process)
            if slope is not None and slope > MOST_MB_AN_HOUR:
                lines.append(f"{process} grows by {slope:.1f} MB an hour")
            if self.files_grown(process) > MOST_FILES:
                lines.append(f"{process} has {self.files_grown(process)} more open files than at the start")
        return lines

    def _settled(self, process: str) -> list[tuple[float, Held]]:
        # A trial of some minutes is judged by its second half.
        begin_s = min(SETTLE_S, self.seconds / 2)
        return [sample for sample in self.samples[process] if sample[0] >= begin_s]


def soak(
    engines: Engines,
    market: Market,
    *,
    duration_s: float,
    speed: float,
    directory: Path,
    say: Say,
    progress: Callable[[SoakResult], None],
) -> SoakResult:
    """Run for `duration_s` real seconds; `progress` gets the figures every five minutes and at the end."""
    session = Session(engines, market, StackOptions(speed), directory, say)
    result = SoakResult(datetime.now(UTC), speed, len(market.symbols), defaultdict(list), [])
    try:
        session.start()
        _sample_until(
            session,
            engines,
            result,
            duration_s=duration_s,
            samples_file=directory / "samples.jsonl",
            progress=progress,
        )
        drained = session.end()
        result.restarts = tuple(session.stack.processes.unasked)
        result.complaints = drained.complaints
        say("comparing the store with what was issued")
        result.differences, result.rows = _judged(session, drained.window)
        result.finished = True
        progress(result)
        return result
    finally:
        session.close()


def _sample_until(
    session: Session,
    engines: Engines,
    result: SoakResult,
    *,
    duration_s: float,
    samples_file: Path,
    progress: Callable[[SoakResult], None],
) -> None:
    began_s = next_sample_s = time.monotonic()
    next_write_s = began_s + _WRITE_S
    with samples_file.open("wb") as lines:
        while (now_s := time.monotonic()) < began_s + duration_s:
            session.tick(0.5)
            if now_s < next_sample_s:
                continue
            next_sample_s += SAMPLE_S
            result.seconds = now_s - began_s
            for name, pid in {**session.stack.processes.pids(), **engines.pids()}.items():
                held = held_by(pid)
                if held is not None:
                    result.samples[name].append((result.seconds, held))
                    entry = {"s": round(result.seconds, 1), "process": name, **held._asdict()}
                    lines.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
            lines.flush()
            result.rates.append(session.watch.reports["producer"].messages_per_s)
            if now_s >= next_write_s:
                next_write_s += _WRITE_S
                result.restarts = tuple(session.stack.processes.unasked)
                progress(result)


def _judged(session: Session, whole: Window) -> tuple[Differences, int]:
    """Trades and bars against the exchange's log, and the ledger against both."""
    export = session.export(whole, indicators=False)
    differences = against_truth(export, session.truth())
    differences.update(against_claims(export, session.watch.claims))
    return differences, export.rows


def soak_page(result: SoakResult) -> str:
    """The figures as Markdown."""
    broken = result.broken()
    state = "still running" if not result.finished else ("kept" if not broken else "BROKEN")
    rate = sum(result.rates) / len(result.rates) if result.rates else 0.0
    lines = [
        "# Soak",
        "",
        "`make soak`: a seeded market on real Kafka and real InfluxDB for an hour, undisturbed. Every "
        "10 s the resident memory and the open files of each process are read; the slope is by least squares "
        "over everything after the first ten minutes. A service may grow by "
        f"{MOST_MB_AN_HOUR:g} MB an hour and {MOST_FILES} files; the engines are shown, not judged.",
        "",
        f"Run of {result.began:%Y-%m-%d %H:%M} UTC: {result.seconds / 60:.0f} minutes at {result.speed:g}× "
        f"speed, {result.symbols} symbols, {rate:,.0f} messages/s; promises: **{state}**"
        + (f" ({result.rows:,} trades and bars compared with what was issued)." if result.rows else "."),
        "",
        "| process | MB first | MB last | MB most | slope MB/h | files first | files last |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for process, samples in result.samples.items():
        held = [one for _, one in samples]
        slope = result.slope(process)
        lines.append(
            f"| {process} | {held[0].resident_mb:.1f} | {held[-1].resident_mb:.1f} "
            f"| {max(one.resident_mb for one in held):.1f} | {'–' if slope is None else f'{slope:+.2f}'} "
            f"| {held[0].open_files} | {held[-1].open_files} |"
        )
    lines += ["", *(f"- {line}" for line in broken), *([""] if broken else [])]
    return "\n".join(lines).rstrip() + "\n"
