"""Altered events: broken frames, fields of other types, the same for every protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from simulator.faults.script import Fault
from simulator.faults.targets import Target
from simulator.outgoing import JsonNumber, Outgoing

Change = Callable[[Mapping[str, Any]], dict[str, Any]]


class Alterations:
    """Alters the events of a protocol.

    Args:
        needed: by kind of stream, the fields without which an event means nothing.
        with_body: an event's payload with the part that holds these fields changed.
    """

    def __init__(
        self,
        needed: Mapping[str, tuple[str, ...]],
        with_body: Callable[[str, Mapping[str, Any], Change], dict[str, Any]],
    ) -> None:
        self._needed = needed
        self._with_body = with_body

    def altered(self, fault: Fault, target: Target, event: Outgoing, draw: int) -> Outgoing | None:
        """The event as a fault alters it; None: the protocol alone knows how."""
        match fault.kind:
            case "malformed":
                return _malformed(event, draw)
            case "truncated":
                return _truncated(event, draw)
            case "wrong_type":
                field = self._field(target.kind, draw)
                return self._changed(
                    event, target.kind, lambda body: {**body, field: _of_other_type(body[field])}
                )
            case "missing_field":
                field = self._field(target.kind, draw)
                return self._changed(
                    event,
                    target.kind,
                    lambda body: {name: value for name, value in body.items() if name != field},
                )
            case "unknown_field":
                # A field that no client knows (BINANCE_SPOT.md §13, trap 27).
                return event.changed({**event.event, "zz": {"draw": draw, "list": [None, True]}})
            case _:
                return None

    def _field(self, kind: str, draw: int) -> str:
        return self._needed[kind][draw % len(self._needed[kind])]

    def _changed(self, event: Outgoing, kind: str, change: Change) -> Outgoing:
        return event.changed(self._with_body(kind, event.event, change), genuine=False)


def _malformed(event: Outgoing, draw: int) -> Outgoing:
    """Text of the right length that is not JSON."""
    damages: tuple[Callable[[bytes], bytes], ...] = (
        lambda frame: frame[:-1] + b"]",
        lambda frame: frame.replace(b":", b"=", 1),
        lambda frame: frame + b"}",
    )
    return event.broken(damages[draw % len(damages)])


def _truncated(event: Outgoing, draw: int) -> Outgoing:
    """The frame's beginning; text stays text (RFC 6455 §5.6)."""

    def cut(frame: bytes) -> bytes:
        length = 1 + draw % (len(frame) - 1)
        return frame[:length].decode(errors="ignore").encode()

    return event.broken(cut)


def _of_other_type(value: Any) -> Any:
    match value:
        case bool():
            return str(value)
        case int():
            return str(value)
        case JsonNumber() | str():
            # A number as text would be no fault: who keeps decimals exactly reads both.
            return [value]
        case _:
            return {"0": value}
