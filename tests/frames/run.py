"""One process's share of the frames: generated, read, classified; and good ones between them."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from shared.errors import ExchangeError
from shared.shown import shown
from shared.topics import QUOTES
from tests.frames.classify import Classification, classify
from tests.frames.generator import Generator
from tests.frames.records import Records
from tests.frames.stand import Rest, Stand, questions, virtual_clocks
from tests.frames.world import SYMBOL
from tests.virtual_time import run_virtually

# So many frames, answers and records come before the next good series.
BLOCK: Final = 4_000
# Of a hundred; the rest are frames.
_HUNDRED: Final = 100
_ANSWERS: Final = 2
_RECORDS: Final = 8
_HOSTILE_REPAIRS: Final = 0.2


@dataclass
class Outcome:
    """
    Attributes:
        counts: by what became of each.
        peak_mb: the most memory that the process has taken.
        worst_s: the longest time until a series was right again, in virtual seconds.
    """

    counts: Counter[str] = field(default_factory=Counter)
    series: int = 0
    worst_s: int = 0
    longest: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0

    @property
    def total(self) -> int:
        return sum(self.counts.values())


class Wrong(AssertionError):
    """A frame did not end as it must."""


def work(seed: int, count: int, told: Callable[[int], None] = lambda _done: None) -> Outcome:
    """Take so many; `told` hears how many are done, after each block.

    Raises:
        Wrong: with the frame.
    """
    logging.disable(logging.CRITICAL)
    random.seed(seed)  # for the jitter of what is waited for
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
    try:
        with virtual_clocks():
            outcome = run_virtually(_work(seed, count, told))
    finally:
        logging.disable(logging.NOTSET)
    outcome.seconds, outcome.cpu_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
    outcome.peak_mb = _peak_mb()
    return outcome


async def _work(seed: int, count: int, told: Callable[[int], None]) -> Outcome:
    generator = Generator(seed)
    stand, records, outcome = Stand(generator), Records(generator), Outcome()
    probe = Rest(stand.world, generator, stand.rejections, stand.clock)
    probe.hostile = 1.0
    await stand.begin()
    await stand.recover()
    done = 0
    while done < count:
        block = min(BLOCK, count - done)
        stand.rest.hostile = _HOSTILE_REPAIRS
        for begun in range(0, block, _HUNDRED):
            await _hundred(stand, probe, records, outcome.counts, min(_HUNDRED, block - begun))
        stand.rest.hostile = 0.0
        stand.rest.forgive()
        await stand.recover()
        done += block
        outcome.series += 1
        told(done)
    outcome.worst_s, outcome.longest = stand.worst_s, stand.kafka.longest
    return outcome


async def _hundred(stand: Stand, probe: Rest, records: Records, counts: Counter[str], count: int) -> None:
    generator = records.generator
    recent, choice = stand.world.recent, generator.chance.choice
    for _ in range(count * _ANSWERS // _HUNDRED):
        counts[await answer(generator, stand, probe)] += 1
    for _ in range(count * _RECORDS // _HUNDRED):
        counts[records.one()] += 1
    left = count - count * _ANSWERS // _HUNDRED - count * _RECORDS // _HUNDRED
    await read(stand, [generator.broken(orjson.loads(choice(recent))) for _ in range(left)], counts)


async def read(stand: Stand, frames: Sequence[bytes], counts: Counter[str]) -> None:
    """Let the producer read frames, and count what became of each.

    Raises:
        Wrong: one did not end as the contract says.
    """
    hearing = _Hearing(stand, frames, counts)
    stand.connection.frames.taken = hearing.taken
    try:
        await stand.read(frames)
        hearing.taken()
    except Wrong:
        raise
    except Exception as error:
        ended = f"{type(error).__name__}: {str(error)[:500]}"
        raise Wrong(f"{_told(hearing.frame)} ended the reader: {ended}") from error
    finally:
        del stand.connection.frames.taken


class _Hearing:
    """Classifies each frame when the next one is taken."""

    def __init__(self, stand: Stand, frames: Sequence[bytes], counts: Counter[str]) -> None:
        self._stand = stand
        self._left = iter(frames)
        self._counts = counts
        self._before = (0, 0, 0, 0)
        self._latest_ms = 0
        self.frame: bytes | None = None

    def taken(self) -> None:
        if self.frame is not None:
            self._counts[f"frame: {self._classified(self.frame)}"] += 1
        self.frame = next(self._left, None)
        self._before = self._now()
        self._latest_ms = self._stand.clock.latest_ms()

    def _now(self) -> tuple[int, int, int, int]:
        stand = self._stand
        return stand.kafka.of_frames, stand.reader.received, stand.reader.ignored, stand.announced

    def _classified(self, frame: bytes) -> str:
        letters, received, ignored, announced = (
            now - before for now, before in zip(self._now(), self._before, strict=True)
        )
        classified = classify(frame, self._latest_ms)
        match classified.what:
            case "right" if classified.fields["symbol"] == SYMBOL:
                sound = received == 1 and _published_rightly(self._stand, classified)
            case "right" | "not ours":
                sound = (letters, received, ignored) == (0, 0, 1)
            case "wrong":
                sound = (letters, received, ignored) == (1, 0, 0)
            case "farewell":
                sound = (letters, received, announced) == (0, 0, 1)
            case _:
                sound = (letters, received, ignored) == (0, 0, 0)
        if not sound:
            raise Wrong(
                f"{_told(frame)} is {classified.what}, and there were {letters} letters, {received} received,"
                f" {ignored} ignored ({list(self._stand.kafka.reasons)[-1:]})"
            )
        return classified.what


def _published_rightly(stand: Stand, classified: Classification) -> bool:
    """Of trades, bars and diffs the cores decide; a quote goes on as it is."""
    if classified.fields["kind"] != "quote":
        return True
    message = orjson.loads(stand.kafka.newest[QUOTES])
    return all(message[name] == value for name, value in classified.fields.items() if name != "kind")


async def answer(generator: Generator, stand: Stand, probe: Rest) -> str:
    """Ask REST something of which the answer comes changed."""
    asked = questions(stand.world)
    name = generator.chance.choice(list(asked))
    probe.forgive()
    begun_s = asyncio.get_running_loop().time()
    try:
        await asked[name](probe)
        ended = "read"
    except ExchangeError as error:
        if len(str(error)) > 2_000 or shown(str(error)) != str(error):
            raise Wrong(
                f"REST's {name}: an error of {len(str(error)):,} characters: {str(error)[:300]!r}"
            ) from None
        ended = "refused"
    except Exception as error:
        raise Wrong(
            f"an answer of REST's {name} ended in {type(error).__name__}: {str(error)[:500]}"
        ) from error
    waited_s = asyncio.get_running_loop().time() - begun_s
    if waited_s > 180:
        raise Wrong(f"an answer of REST's {name} was waited for {waited_s:.0f} s")
    return f"answer: {ended}"


def _peak_mb() -> float:
    # `ru_maxrss` would be that of the process which began this one, where that is more.
    [kilobytes] = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(kilobytes) / 1024


def _told(frame: bytes | None) -> str:
    frame = frame or b""
    return f"a frame of {len(frame):,} bytes, {frame[:600]!r}{'…' if len(frame) > 600 else ''},"
