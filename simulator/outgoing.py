"""One event on its way to the clients, whatever the protocol."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any


class JsonNumber(str):
    """The text of a JSON number, kept because its zeros count."""

    __slots__ = ()


class Outgoing:
    """One event of one stream.

    Attributes:
        event: the payload; times in ms.
        received_time_ms: the recording's receive time; only in replay.
        time_ms: when it is due, in the market's time.
        genuine: it is the event that the exchange issued: not repeated, not altered.
        receivers: number of connections that have or will get it.
        recorded: the payload's own bytes; only in replay.
        counted: of the origin: connections have reserved its place in their count.
        damage: what breaks its frames after they have been made.
        origin: the event that the exchange issued, of which this one is made.
        left_out: numbers that a connection's count leaves out before it.
        numbers: of the origin, by connection: its place in the connection's count, where there is one.
    """

    __slots__ = (
        "_frames", "counted", "damage", "event", "genuine", "left_out", "numbers", "origin",
        "received_time_ms", "receivers", "recorded", "stream", "time_ms",
    )  # fmt: skip

    def __init__(
        self,
        stream: str,
        event: Mapping[str, Any],
        received_time_ms: int | None = None,
        *,
        time_ms: int = 0,
        genuine: bool = True,
        recorded: bytes | None = None,
        origin: Outgoing | None = None,
    ) -> None:
        self.stream = stream
        self.event = event
        self.received_time_ms = received_time_ms
        self.time_ms = time_ms
        self.genuine = genuine
        self.receivers = 0
        self.recorded = recorded
        self.damage: Callable[[bytes], bytes] | None = None
        self.origin: Outgoing = origin or self
        self.left_out = 0
        self.counted = False
        self.numbers: dict[int, int] = {}
        self._frames: dict[Hashable, bytes] = {}

    def frame(self, form: Hashable, make: Callable[[], bytes]) -> bytes:
        """The bytes of a form, made on first demand."""
        made = self._frames.get(form)
        if made is None:
            made = self._frames[form] = make()
        return made

    def damaged(self, frame: bytes) -> bytes:
        return frame if self.damage is None else self.damage(frame)

    def changed(self, event: Mapping[str, Any], *, genuine: bool = True) -> Outgoing:
        """The event with another payload."""
        return Outgoing(
            self.stream,
            event,
            self.received_time_ms,
            time_ms=self.time_ms,
            genuine=genuine,
            origin=self.origin,
        )

    def broken(self, damage: Callable[[bytes], bytes]) -> Outgoing:
        """The event with frames that are damaged."""
        other = self.changed(self.event, genuine=False)
        other.received_time_ms = None
        other.damage = damage
        return other
