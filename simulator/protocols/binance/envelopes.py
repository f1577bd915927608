"""Outgoing events, encoded once for each form in use (BINANCE_SPOT.md §2.1, §2.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from simulator.outgoing import Outgoing

# Time fields of each event type (BINANCE_SPOT.md §4); all else stays as it is.
_TIME_FIELDS: Final = ("E", "T", "O", "C")


def encoded(event: Outgoing, *, combined: bool, microseconds: bool) -> bytes:
    """The frame's bytes, made on first demand."""
    frame = event.frame(
        (combined, microseconds), lambda: _made(event, combined=combined, microseconds=microseconds)
    )
    return event.damaged(frame)


def _made(event: Outgoing, *, combined: bool, microseconds: bool) -> bytes:
    if microseconds or event.recorded is None:
        body = orjson.dumps(in_microseconds(event.event) if microseconds else event.event)
    else:
        body = event.recorded
    if not combined:
        return body
    received = b"" if event.received_time_ms is None else b',"receivedTime":%d' % event.received_time_ms
    return b'{"stream":%s,"data":%s%s}' % (orjson.dumps(event.stream), body, received)


def with_times(event: Mapping[str, Any], change: Callable[[int], int]) -> dict[str, Any]:
    """The event with each of its times changed, a kline's too."""
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
