"""Messages of the server on the stream, as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from api.states import LONGEST_CAUSE, State
from consumers.tap.port import Hole


def subscribed(
    number: int, columns: Sequence[str], types: Sequence[str], delivery: str, gaps: Iterable[Hole]
) -> bytes:
    """A subscription was accepted; its rows come in frames."""
    message = {"id": number, "columns": columns, "types": types, "class": delivery}
    told = [(hole.from_ms, hole.to_ms, hole.cause[:LONGEST_CAUSE]) for hole in gaps]
    return orjson.dumps({"subscribed": {**message, "gaps": told}})


def error(number: int | None, title: str, detail: str) -> bytes:
    """A request was refused; everything else goes on."""
    return orjson.dumps({"error": {"id": number, "title": title, "detail": detail}})


def restart(number: int, reason: str, cursor: str | None) -> bytes:
    """Rows of a subscription so far are to be forgotten; a snapshot follows.

    Args:
        cursor: up to which the client had them, if known.
    """
    message: dict[str, Any] = {"restart": number, "reason": reason}
    if cursor is not None:
        message["cursor"] = cursor
    return orjson.dumps(message)


def time(echo: float, now_ms: float) -> bytes:
    """Our clock, with the time that was sent."""
    return orjson.dumps({"time": echo, "server_time_ms": now_ms})


class Frame:
    """Rows and news of subscriptions, collected for one message.

    Args:
        room: bytes that it may have.
    """

    # The envelope of one subscription's rows, age, count and cursor; and of a state or a hole.
    _ROWS_BYTES = 120
    _NEWS_BYTES = 260

    def __init__(self, room: int) -> None:
        self.room = room - 100
        self._rows: list[bytes] = []
        self._ages: dict[str, float] = {}
        self._past: list[int] = []
        self._skipped: dict[str, int] = {}
        self._states: list[tuple[int, str, int, str]] = []
        self._gaps: list[tuple[int, int, int, str]] = []
        self._cursors: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._rows or self._skipped or self._states or self._gaps)

    @property
    def rows_room(self) -> int:
        """Bytes for rows of one more subscription."""
        return self.room - self._ROWS_BYTES

    def add_rows(
        self, number: int, fragments: list[bytes], age_ms: float, cursor: str | None, *, past: bool
    ) -> None:
        rows = b",".join(fragments)
        self._rows.append(b"[%d,[%b]]" % (number, rows))
        self.room -= len(rows) + self._ROWS_BYTES
        self._ages[str(number)] = age_ms
        if past:
            self._past.append(number)
        if cursor is not None:
            self._cursors[str(number)] = cursor

    def add_skipped(self, number: int, count: int) -> None:
        self._skipped[str(number)] = count

    def add_state(self, number: int, state: State) -> bool:
        """False if there is no room."""
        if self.room < self._NEWS_BYTES:
            return False
        self._states.append((number, *state))
        self.room -= self._NEWS_BYTES
        return True

    def add_gap(self, number: int, hole: Hole) -> bool:
        """False if there is no room."""
        if self.room < self._NEWS_BYTES:
            return False
        self._gaps.append((number, hole.from_ms, hole.to_ms, hole.cause[:LONGEST_CAUSE]))
        self.room -= self._NEWS_BYTES
        return True

    def message(self, number: int, now_ms: float) -> bytes:
        """The whole as JSON; empty members are left out."""
        members: Mapping[str, Any] = {
            "ages": self._ages,
            "past": self._past,
            "skipped": self._skipped,
            "state": self._states,
            "gaps": self._gaps,
            "cursor": self._cursors,
        }
        rest = {name: value for name, value in members.items() if value}
        head = orjson.dumps({"frame": number, "server_time_ms": now_ms})[:-1]
        parts = [head]
        if self._rows:
            parts += [b',"rows":[', b",".join(self._rows), b"]"]
        parts += [b",", orjson.dumps(rest)[1:]] if rest else [b"}"]
        return b"".join(parts)
