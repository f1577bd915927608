"""The frames divided among processes, each with a seed of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from typing import Any

from tests.frames.run import Outcome, work

_TOLD_S = 1.0


def run(
    seed: int, count: int, processes: int, told: Callable[[int], None] = lambda _done: None
) -> tuple[Outcome, str]:
    """What became of all of them, and what went wrong first: "" if nothing did.

    Args:
        told: hears about once a second how many are done.
    """
    spawned = multiprocessing.get_context("spawn")  # nothing of the caller is to count as theirs
    with spawned.Manager() as manager, ProcessPoolExecutor(processes, mp_context=spawned) as pool:
        done: Any = manager.dict()
        shares = [count // processes + (number < count % processes) for number in range(processes)]
        working = [
            pool.submit(_share, seed * 1_000 + number, share, done) for number, share in enumerate(shares)
        ]
        while wait(working, _TOLD_S).not_done and not any(map(_failed, working)):
            told(sum(done.values()))
        fault = next((str(error) for future in working if (error := _failed(future))), "")
        if fault:
            for process in multiprocessing.active_children():
                if process.name.startswith("SpawnProcess"):
                    process.terminate()
            return Outcome(), fault
        return _joined([future.result() for future in working]), ""


def _failed(future: Future[Outcome]) -> BaseException | None:
    return future.exception() if future.done() else None


def _share(seed: int, count: int, done: Any) -> Outcome:
    def told(number: int) -> None:
        done[seed] = number

    return work(seed, count, told)


def _joined(outcomes: list[Outcome]) -> Outcome:
    whole = Outcome()
    for outcome in outcomes:
        whole.counts += outcome.counts
        whole.series += outcome.series
        whole.cpu_s += outcome.cpu_s
        whole.worst_s = max(whole.worst_s, outcome.worst_s)
        whole.longest = max(whole.longest, outcome.longest)
        whole.seconds = max(whole.seconds, outcome.seconds)
        whole.peak_mb = max(whole.peak_mb, outcome.peak_mb)
    return whole
