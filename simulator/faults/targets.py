"""Streams as faults and the log see them: kind of stream, symbol, interval."""

from __future__ import annotations

from typing import NamedTuple

from simulator.faults.script import Fault


class Target(NamedTuple):
    """A stream that faults may strike.

    Attributes:
        kind: one of STREAM_KINDS.
        interval: of a kline stream, else empty.
    """

    kind: str
    symbol: str
    interval: str


def strikes(fault: Fault, target: Target) -> bool:
    """Whether a fault is meant for a stream."""
    if fault.declared.finals and target.kind != "kline":
        return False
    if fault.declared.of_stream not in (None, target.kind):
        return False
    return (
        (not fault.streams or target.kind in fault.streams)
        and (not fault.symbols or target.symbol in fault.symbols)
        and (not fault.intervals or not target.interval or target.interval in fault.intervals)
    )
