"""A long run without faults: trend of memory, open files, promises."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from chaos.checks import against_claims, against_exchange_log
from chaos.differences import Differences
from chaos.market import Market, Window
from chaos.servers import Servers
from chaos.session import Session
from chaos.stack import StackOptions
from cryptostream.processes.supervisor import Say

SAMPLE_S: Final = 10.0
# Until then queues fill, caches warm up, librdkafka and the JVM allocate arenas; later growth is a leak.
WARM_UP_S: Final = 600.0
_WRITE_S: Final = 300.0
# Allocator arenas drift by less without a leak; one small object leaked for each of 700 messages a second is
# 100 MB an hour.
MOST_MB_AN_HOUR: Final = 10.0
MOST_FILES: Final = 5
# Figures of the servers are shown, not checked.
SERVERS: Final = ("kafka", "influxd")

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class ProcessUsage(NamedTuple):
    """Resident memory in MB (10^6 bytes) and open file descriptors of a process."""

    resident_mb: float
    open_files: int


def process_usage(pid: int) -> ProcessUsage | None:
    """None if the process has ended, or without /proc."""
    process = Path("/proc") / str(pid)
    try:
        pages = int((process / "statm").read_text(encoding="ascii").split()[1])
        return ProcessUsage(pages * _PAGE_BYTES / 1e6, len(list((process / "fd").iterdir())))
    except OSError:
        return None


def trend_per_hour(samples: Sequence[tuple[float, float]]) -> float | None:
    """Slope of a value per hour by least squares; None with fewer than two times.

    Args:
        samples: (seconds, value).
    """
    if len({at_s for at_s, _ in samples}) < 2:
        return None
    mean_s = sum(at_s for at_s, _ in samples) / len(samples)
    mean = sum(value for _, value in samples) / len(samples)
    spread = sum((at_s - mean_s) ** 2 for at_s, _ in samples)
    return sum((at_s - mean_s) * (value - mean) for at_s, value in samples) / spread * 3_600


@dataclass(slots=True)
class SoakResult:
    """Figures so far.

    Attributes:
        samples: by process, (seconds since the start, usage).
        finished: False while the run goes on.
    """

    began: datetime
    speed: float
    symbols: int
    samples: dict[str, list[tuple[float, ProcessUsage]]]
    rates: list[float]
    seconds: float = 0.0
    finished: bool = False
    restarts: tuple[str, ...] = ()
    complaints: tuple[str, ...] = ()
    differences: Differences | None = None
    rows: int = 0

    def trend(self, process: str) -> float | None:
        """MB an hour of resident memory after the first ten minutes."""
        samples = self._measured(process)
        return trend_per_hour([(at_s, usage.resident_mb) for at_s, usage in samples])

    def files_grown(self, process: str) -> int:
        """Growth of open files after the first ten minutes."""
        samples = self._measured(process)
        return samples[-1][1].open_files - samples[0][1].open_files if samples else 0

    def broken(self) -> list[str]:
        """One line for each broken promise."""
        lines = [*self.restarts, *self.complaints]
        lines += self.differences.lines() if self.differences is not None else []
        for process in self.samples:
            if process in SERVERS:
                continue
            trend = self.trend(process)
            if trend is not None and trend > MOST_MB_AN_HOUR:
                lines.append(f"{process} grows by {trend:.1f} MB an hour")
            if self.files_grown(process) > MOST_FILES:
                lines.append(f"{process} has {self.files_grown(process)} more open files than at the start")
        return lines

    def _measured(self, process: str) -> list[tuple[float, ProcessUsage]]:
        # Of a run of a few minutes the second half counts.
        begin_s = min(WARM_UP_S, self.seconds / 2)
        return [sample for sample in self.samples[process] if sample[0] >= begin_s]


def soak(
    servers: Servers,
    market: Market,
    *,
    duration_s: float,
    speed: float,
    directory: Path,
    say: Say,
    progress: Callable[[SoakResult], None],
) -> SoakResult:
    """Run for `duration_s` real seconds; `progress` gets the figures every five minutes and at the end."""
    session = Session(servers, market, StackOptions(speed), directory, say)
    result = SoakResult(datetime.now(UTC), speed, len(market.symbols), defaultdict(list), [])
    try:
        session.start()
        _sample_until(
            session,
            servers,
            result,
            duration_s=duration_s,
            samples_file=directory / "samples.jsonl",
            progress=progress,
        )
        drained = session.end()
        result.restarts = tuple(session.stack.processes.unexpected_exits)
        result.complaints = drained.complaints
        say("comparing the store with what was issued")
        result.differences, result.rows = _checked(session, drained.window)
        result.finished = True
        progress(result)
        return result
    finally:
        session.close()


def _sample_until(
    session: Session,
    servers: Servers,
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
            for name, pid in {**session.stack.processes.pids(), **servers.pids()}.items():
                usage = process_usage(pid)
                if usage is not None:
                    result.samples[name].append((result.seconds, usage))
                    entry = {"s": round(result.seconds, 1), "process": name, **usage._asdict()}
                    lines.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
            lines.flush()
            result.rates.append(session.monitor.reports["producer"].messages_per_s)
            if now_s >= next_write_s:
                next_write_s += _WRITE_S
                result.restarts = tuple(session.stack.processes.unexpected_exits)
                progress(result)


def _checked(session: Session, whole: Window) -> tuple[Differences, int]:
    """Trades and bars against the exchange's log, and the ledger against both."""
    export = session.export(whole, indicators=False)
    differences = against_exchange_log(export, session.exchange_log())
    differences.update(against_claims(export, session.monitor.claims))
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
        f"{MOST_MB_AN_HOUR:g} MB an hour and {MOST_FILES} files; the servers are shown, not checked.",
        "",
        f"Run of {result.began:%Y-%m-%d %H:%M} UTC: {result.seconds / 60:.0f} minutes at {result.speed:g}× "
        f"speed, {result.symbols} symbols, {rate:,.0f} messages/s; promises: **{state}**"
        + (f" ({result.rows:,} trades and bars compared with what was issued)." if result.rows else "."),
        "",
        "| process | MB first | MB last | MB most | slope MB/h | files first | files last |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for process, samples in result.samples.items():
        usages = [usage for _, usage in samples]
        trend = result.trend(process)
        lines.append(
            f"| {process} | {usages[0].resident_mb:.1f} | {usages[-1].resident_mb:.1f} "
            f"| {max(usage.resident_mb for usage in usages):.1f} "
            f"| {'–' if trend is None else f'{trend:+.2f}'} "
            f"| {usages[0].open_files} | {usages[-1].open_files} |"
        )
    lines += ["", *(f"- {line}" for line in broken), *([""] if broken else [])]
    return "\n".join(lines).rstrip() + "\n"
