"""What an event is to faults and the log: its kind of stream, symbol, interval and identity."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from simulator.faults.script import Fault
from simulator.protocol.stream_names import parse_stream_name

_KINDS: Final = {"trade": "trade", "kline": "kline", "depth": "depth", "bookTicker": "quote"}


class Target(NamedTuple):
    """A stream that faults may strike.

    Attributes:
        kind: one of STREAM_KINDS.
        interval: of a kline stream, else empty.
    """

    kind: str
    symbol: str
    interval: str


@lru_cache(maxsize=4_096)
def target_of(stream: str) -> Target | None:
    """What a stream name is to faults; None for streams that are never struck."""
    parsed = parse_stream_name(stream)
    if parsed is None or parsed.kind not in _KINDS or parsed.offset_ms:
        return None
    return Target(_KINDS[parsed.kind], parsed.symbol, parsed.interval)


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


def is_final(event: Mapping[str, Any]) -> bool:
    """Whether an event closes a bar; altered ones may lack any field."""
    bar = event.get("k")
    return isinstance(bar, dict) and bar.get("x") is True


def identity_of(kind: str, event: Mapping[str, Any]) -> int:
    """What tells an event from all others of its stream, whenever it is sent."""
    match kind:
        case "trade":
            return int(event["t"])
        case "kline":
            return int(event["k"]["t"] if event["k"]["x"] else event["E"])
        case _:
            return int(event["u"])
