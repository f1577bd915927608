"""An event on its way out, encoded once for each form in use (BINANCE_SPOT.md §2.1, §2.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

# Time fields of each event type (BINANCE_SPOT.md §4); all else stays as it is.
_TIME_FIELDS: Final = ("E", "T", "O", "C")


class Outgoing:
    """One event of one stream.

    Attributes:
        event: the raw payload, times in ms.
        received_time_ms: the recording's receive time; only in replay.
    """

    __slots__ = ("_encoded", "event", "received_time_ms", "stream")

    def __init__(self, stream: str, event: Mapping[str, Any], received_time_ms: int | None = None) -> None:
        self.stream = stream
        self.event = event
        self.received_time_ms = received_time_ms
        self._encoded: list[bytes | None] = [None, None, None, None]

    def encoded(self, *, combined: bool, microseconds: bool) -> bytes:
        """The frame's bytes; made on first demand."""
        form = combined + 2 * microseconds
        frame = self._encoded[form]
        if frame is None:
            body = orjson.dumps(in_microseconds(self.event) if microseconds else self.event)
            frame = self._encoded[form] = self._wrapped(body) if combined else body
        return frame

    def _wrapped(self, body: bytes) -> bytes:
        received = b"" if self.received_time_ms is None else b',"receivedTime":%d' % self.received_time_ms
        return b'{"stream":%s,"data":%s%s}' % (orjson.dumps(self.stream), body, received)


def with_times(event: Mapping[str, Any], change: Callable[[int], int]) -> dict[str, Any]:
    """The event with each of its times changed, a kline's too."""
    changed = dict(event)
    for field in _TIME_FIELDS:
        if isinstance(changed.get(field), int):
            changed[field] = change(changed[field])
    if "k" in changed:
        kline = changed["k"]
        changed["k"] = {**kline, "t": change(kline["t"]), "T": change(kline["T"])}
    return changed


def in_microseconds(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event with its times in microseconds; a kline ends one microsecond before the next begins."""
    changed = with_times(event, lambda time_ms: time_ms * 1000)
    if "k" in changed:
        changed["k"]["T"] += 999
    return changed
