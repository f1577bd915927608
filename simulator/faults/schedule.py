"""When a fault fires: decided by a hash of seed, fault and identity, so equal worlds get equal faults."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import count as natural_numbers
from typing import Final

from simulator.faults.script import Fault
from simulator.world.hashing import hash_key, hash_one

_ONE: Final = 2.0**64
# Spans of time that a fault may cover: a halt each ten seconds for three hours.
_MOST_SPANS: Final = 1_000


class Draw:
    """Random numbers of one fault."""

    def __init__(self, seed: int, fault: Fault) -> None:
        self._parts = (seed, "fault", fault.index, fault.kind)
        self._keys: dict[str, int] = {}

    def number(self, series: str, identity: int) -> int:
        """64 random bits for one element of a series, such as trade 5 of "btcusdc@trade"."""
        key = self._keys.get(series)
        if key is None:
            key = self._keys[series] = hash_key(*self._parts, series)
        return hash_one(key, identity)

    def fraction(self, series: str, identity: int) -> float:
        """0 … 1 for one element of a series."""
        return self.number(series, identity) / _ONE


class Strike(Enum):
    """The decision about one occasion."""

    NO = 0
    FIRST = 1  # the fault fires
    FURTHER = 2  # a lasting firing goes on


class Occasions:
    """Decides at which of many occasions (events, requests), in time order, one fault fires."""

    def __init__(self, fault: Fault, draw: Draw, begin_ms: int, *, lasting: bool = True) -> None:
        self._fault = fault
        self._draw = draw
        self._from_ms = begin_ms + fault.from_s * 1000
        self._to_ms = begin_ms + fault.to_s * 1000
        self._duration_ms = fault.duration_s * 1000 if lasting else 0.0
        self._until_ms = -math.inf
        self._slot = -1
        self._left = math.inf if fault.count is None else fault.count

    def meet(self, time_ms: int, series: str, identity: int) -> Strike:
        """Decide one occasion."""
        if time_ms < self._until_ms:
            return Strike.FURTHER
        if self._left <= 0 or not self._from_ms <= time_ms < self._to_ms:
            return Strike.NO
        if not self._chosen(time_ms, series, identity):
            return Strike.NO
        self._left -= 1
        self._until_ms = time_ms + self._duration_ms
        return Strike.FIRST

    def _chosen(self, time_ms: int, series: str, identity: int) -> bool:
        fault = self._fault
        if fault.every_s is not None:
            slot = int((time_ms - self._from_ms) / (fault.every_s * 1000))
            if slot <= self._slot:
                return False
            self._slot = slot
            series, identity = "every", slot
        return fault.probability >= 1.0 or self._draw.fraction(series, identity) < fault.probability


def moments(fault: Fault, draw: Draw, begin_ms: int) -> Iterator[int]:
    """Times (ms) at which a fault without occasions fires, ascending; may never end."""
    if fault.once or (fault.every_s is None and fault.probability >= 1.0):
        yield begin_ms + round(fault.from_s * 1000)
        return
    # A probability alone is one for each second.
    every_ms = (fault.every_s or 1.0) * 1000
    fired = 0
    for slot in natural_numbers():
        at_ms = fault.from_s * 1000 + slot * every_ms
        if at_ms >= fault.to_s * 1000 or (fault.count is not None and fired >= fault.count):
            return
        if fault.probability >= 1.0 or draw.fraction("every", slot) < fault.probability:
            fired += 1
            yield begin_ms + round(at_ms)


def spans(fault: Fault, draw: Draw, begin_ms: int) -> list[tuple[int, float]]:
    """Spans of time (ms; the end, exclusive, may be infinite) that a lasting fault covers: 1,000 at most."""
    if not fault.once and fault.every_s is None and fault.probability >= 1.0:
        return [(begin_ms + round(fault.from_s * 1000), begin_ms + fault.to_s * 1000)]
    found: list[tuple[int, float]] = []
    for slot, at_ms in enumerate(moments(fault, draw, begin_ms)):
        if slot >= _MOST_SPANS:
            break
        found.append((at_ms, at_ms + fault.duration_s * 1000))
    return found


def covers(covered: Iterable[tuple[int, float]], time_ms: int) -> bool:
    """Whether one of the spans holds a time."""
    return any(begin <= time_ms < end for begin, end in covered)
