"""Halts, listings and new numberings: faults of the market itself, which must be known before it begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from shared.intervals import INTERVAL_MS
from simulator.faults.events import Fire
from simulator.faults.schedule import Draw, spans
from simulator.faults.script import Fault
from simulator.faults.targets import Target, strikes
from simulator.world.halts import Halts
from simulator.world.price_path import SLOT_MS


def halts_by_symbol(
    faults: Sequence[Fault], seed: int, begin_ms: int, symbols: Sequence[str]
) -> Mapping[str, Halts]:
    """The halts of each symbol."""
    return {
        symbol: Halts(
            (begin, round(end))
            for fault in faults
            if fault.kind == "halt" and (not fault.symbols or symbol in fault.symbols)
            for begin, end in spans(fault, Draw(seed, fault), begin_ms)
        )
        for symbol in symbols
    }


def listed_by_symbol(faults: Sequence[Fault], begin_ms: int, symbols: Sequence[str]) -> Mapping[str, int]:
    """When new symbols are listed."""
    return {
        symbol: begin_ms + round(fault.from_s * 1000)
        for fault in faults
        if fault.kind == "new_listing"
        for symbol in symbols
        if not fault.symbols or symbol in fault.symbols
    }


def restarts_by_symbol(
    faults: Sequence[Fault], begin_ms: int, symbols: Sequence[str], stream: str
) -> Mapping[str, list[int]]:
    """When the ids of a stream ("trade" or "depth") begin again at 1."""
    return {
        symbol: sorted(
            begin_ms + round(fault.from_s * 1000)
            for fault in faults
            if fault.kind == "ids_anew"
            and (not fault.symbols or symbol in fault.symbols)
            and (not fault.streams or stream in fault.streams)
        )
        for symbol in symbols
    }


def unissued(
    halt: Fire, streams: Iterable[str], target_of: Callable[[str], Target | None]
) -> Mapping[str, int]:
    """Number of bars and book updates that a halt prevents on these streams, by kind."""
    counts: Counter[str] = Counter()
    span_ms = round(halt.until_ms) - halt.at_ms
    for stream in streams:
        target = target_of(stream)
        if target is None or not strikes(halt.fault, target):
            continue
        length_ms = INTERVAL_MS.get(target.interval)
        if length_ms:
            first = -(-halt.at_ms // length_ms) * length_ms
            counts["kline"] += max(0, round(halt.until_ms) - first) // length_ms
        elif target.kind == "depth":
            counts["depth"] += span_ms // SLOT_MS
    return counts
