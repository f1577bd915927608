"""One process's share of the frames: generated, read, judged; and good ones between them."""

from __future__ import annotations

import asyncio
import logging
import random
import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from shared.errors import ExchangeError
from shared.topics import QUOTES
from tests.frames.generator import Generator
from tests.frames.judge import Judgement, judge
from tests.frames.records import Records
from tests.frames.stand import Stand, questions, virtual_clocks
from tests.frames.world import SYMBOL
from tests.virtual_time import run_virtually

# So many frames, answers and records come before the next good series.
BLOCK: Final = 2_000
# Of a hundred.
_ANSWERS: Final = 4
_RECORDS: Final = 10
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
    outcome.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return outcome


async def _work(seed: int, count: int, told: Callable[[int], None]) -> Outcome:
    generator = Generator(seed)
    stand, records, outcome = Stand(generator), Records(generator), Outcome()
    probe = type(stand.rest)(stand.world, generator, stand.outlet, stand.clock)
    probe.hostile = 1.0
    await stand.begin()
    await stand.recover()
    done = 0
    while done < count:
        block = min(BLOCK, count - done)
        stand.rest.hostile = _HOSTILE_REPAIRS
        for _ in range(block):
            await _one(generator, stand, probe, records, outcome)
        stand.rest.hostile = 0.0
        stand.rest.forgive()
        await stand.recover()
        done += block
        outcome.series += 1
        told(done)
    outcome.worst_s, outcome.longest = stand.worst_s, stand.kafka.longest
    return outcome


async def _one(generator: Generator, stand: Stand, probe: Any, records: Records, outcome: Outcome) -> None:
    chosen = generator.chance.randrange(100)
    if chosen < _ANSWERS:
        outcome.counts[await answer(generator, stand, probe)] += 1
    elif chosen < _ANSWERS + _RECORDS:
        outcome.counts[records.one()] += 1
    else:
        frame = generator.broken(orjson.loads(generator.chance.choice(stand.world.recent)))
        outcome.counts[await read(stand, frame)] += 1


async def read(stand: Stand, frame: bytes) -> str:
    """Let the producer read a frame; what became of it.

    Raises:
        Wrong: it did not end as the contract says.
    """
    kafka, reader = stand.kafka, stand.reader
    before = kafka.of_frames, reader.received, reader.ignored, stand.announced
    latest_ms = stand.clock.latest_ms()
    try:
        await stand.read(frame)
    except Exception as error:
        raise Wrong(f"{_told(frame)} ended the reader: {type(error).__name__}: {str(error)[:500]}") from error
    letters = kafka.of_frames - before[0]
    received, ignored = reader.received - before[1], reader.ignored - before[2]
    judged = judge(frame, latest_ms)
    match judged.what:
        case "right" if judged.fields["symbol"] == SYMBOL:
            sound = received == 1 and _published_rightly(stand, judged)
        case "right" | "not ours":
            sound = (letters, received, ignored) == (0, 0, 1)
        case "wrong":
            sound = (letters, received, ignored) == (1, 0, 0)
        case "farewell":
            sound = (letters, received) == (0, 0) and stand.announced == before[3] + 1
        case _:
            sound = (letters, received, ignored) == (0, 0, 0)
    if not sound:
        raise Wrong(
            f"{_told(frame)} is {judged.what}, and there were {letters} letters, {received} received, {ignored}"
            f" ignored ({list(kafka.reasons)[-1:]})"
        )
    return f"frame: {judged.what}"


def _published_rightly(stand: Stand, judged: Judgement) -> bool:
    """Of trades, bars and diffs the cores decide; a quote goes on as it is."""
    if judged.fields["kind"] != "quote":
        return True
    message = orjson.loads(stand.kafka.newest[QUOTES])
    return all(message[name] == value for name, value in judged.fields.items() if name != "kind")


async def answer(generator: Generator, stand: Stand, probe: Any) -> str:
    """Ask REST something of which the answer comes changed."""
    asked = questions(stand.world)
    name = generator.chance.choice(list(asked))
    probe.forgive()
    begun_s = asyncio.get_running_loop().time()
    try:
        await asked[name](probe)
        ended = "read"
    except ExchangeError as error:
        if len(str(error)) > 2_000 or not str(error).isprintable():
            raise Wrong(f"REST's {name}: an error of {len(str(error)):,} characters: {str(error)[:300]!r}") from None
        ended = "refused"
    except Exception as error:
        raise Wrong(f"an answer of REST's {name} ended in {type(error).__name__}: {str(error)[:500]}") from error
    waited_s = asyncio.get_running_loop().time() - begun_s
    if waited_s > 180:
        raise Wrong(f"an answer of REST's {name} was waited for {waited_s:.0f} s")
    return f"answer: {ended}"


def _told(frame: bytes) -> str:
    return f"a frame of {len(frame):,} bytes, {frame[:600]!r}{'…' if len(frame) > 600 else ''},"
