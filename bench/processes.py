"""Processes that are measured: started, ended, and what they use."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil

from shared.proxies import direct

_STOP_S: Final = 30.0


@contextmanager
def running(
    command: Sequence[str], settings: Mapping[str, str], *, stop_s: float = _STOP_S, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A process, ended by SIGTERM.

    Args:
        settings: on top of this process' environment.
        stop_s: in which it has to end.
        options: of `subprocess.Popen`.
    """
    process = subprocess.Popen(command, env={**os.environ, **settings}, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(stop_s)


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """CPU time so far, of user and system."""
    return float(sum(psutil.Process(process.pid).cpu_times()[:2]))


def thread_cpu_s(process: subprocess.Popen[bytes]) -> float:
    """CPU time of the main thread so far: what `time.thread_time` says within it."""
    # Of Linux, in nanoseconds; the other file has ticks of 10 ms.
    schedule = Path(f"/proc/{process.pid}/task/{process.pid}/schedstat")
    if schedule.exists():
        return int(schedule.read_text(encoding="ascii").split()[0]) / 1e9
    threads = psutil.Process(process.pid).threads()
    return float(next(each.user_time + each.system_time for each in threads if each.id == process.pid))


def runs(process: subprocess.Popen[bytes]) -> bool:
    """Whether one of its threads has work to do now, whether or not it has a processor."""
    for stat in Path(f"/proc/{process.pid}/task").glob("*/stat"):
        try:
            state = stat.read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread has ended
        if state in {"R", "D"}:
            return True
    return False


def resident_bytes(process: subprocess.Popen[bytes]) -> int:
    return int(psutil.Process(process.pid).memory_info().rss)


def own_bytes(process: subprocess.Popen[bytes]) -> int:
    """What is resident for this process alone: without the pages of libraries that others have mapped too."""
    return int(psutil.Process(process.pid).memory_full_info().uss)


def peak_mb(process: subprocess.Popen[bytes]) -> float:
    """The most that a process has had resident so far, by its `/proc/…/status`."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    peak_kb = next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]
    return int(peak_kb) * 1024 / 1e6


def page(port: int, path: str) -> str | None:
    """A page of a process on this machine; None without an answer, or with an error."""
    try:
        with direct().open(f"http://127.0.0.1:{port}/{path}", timeout=1) as answer:
            return str(answer.read().decode())
    except OSError:
        return None
