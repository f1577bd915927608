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
        time_ms: when it is due, in the market's time.
        genuine: it is what the exchange issued, for the first time: no repeat, nothing altered.
        receivers: connections that have it or will.
    """

    __slots__ = ("_encoded", "event", "genuine", "received_time_ms", "receivers", "stream", "time_ms")

    def __init__(
        self,
        stream: str,
        event: Mapping[str, Any],
        received_time_ms: int | None = None,
        *,
        time_ms: int = 0,
        genuine: bool = True,
    ) -> None:
        self.stream = stream
        self.event = event
        self.received_time_ms = received_time_ms
        self.time_ms = time_ms
        self.genuine = genuine
        self.receivers = 0
        self._encoded: list[bytes | None] = [None, None, None, None]

    def encoded(self, *, combined: bool, microseconds: bool) -> bytes:
        """The frame's bytes; made on first demand."""
        form = combined + 2 * microseconds
        frame = self._encoded[form]
        if frame is None:
            body = self.body(microseconds=microseconds)
            frame = self._encoded[form] = self._wrapped(body) if combined else body
        return frame

    def body(self, *, microseconds: bool) -> bytes:
        """The payload's bytes."""
        return orjson.dumps(in_microseconds(self.event) if microseconds else self.event)

    def changed(self, event: Mapping[str, Any], *, genuine: bool = True) -> Outgoing:
        """The same event of the same moment with another payload."""
        return Outgoing(self.stream, event, self.received_time_ms, time_ms=self.time_ms, genuine=genuine)

    def _wrapped(self, body: bytes) -> bytes:
        received = b"" if self.received_time_ms is None else b',"receivedTime":%d' % self.received_time_ms
        return b'{"stream":%s,"data":%s%s}' % (orjson.dumps(self.stream), body, received)


def with_times(event: Mapping[str, Any], change: Callable[[int], int]) -> dict[str, Any]:
    """The event with each of its times changed, a kline's too; what is not a time is left as it is."""
    changed = _changed(event, _TIME_FIELDS, change)
    if isinstance(changed.get("k"), dict):
        changed["k"] = _changed(changed["k"], ("t", "T"), change)
    return changed


def in_microseconds(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event with its times in microseconds; a kline ends one microsecond before the next begins."""
    changed = with_times(event, lambda time_ms: time_ms * 1000)
    if isinstance(changed.get("k"), dict):
        changed["k"] = _changed(changed["k"], ("T",), lambda time_us: time_us + 999)
    return changed


def _changed(
    fields: Mapping[str, Any], names: tuple[str, ...], change: Callable[[int], int]
) -> dict[str, Any]:
    changed = dict(fields)
    for name in names:
        if isinstance(changed.get(name), int):
            changed[name] = change(changed[name])
    return changed
