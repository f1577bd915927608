"""What happened in a run: a rolling hash of all of it, and the last lines for people."""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import Final

_KEPT: Final = 400
Part = bytes | str | int | float | None


class Trace:
    """Equal runs have equal hashes.

    Attributes:
        events: their number.
    """

    def __init__(self, kept: int | None = _KEPT) -> None:
        """Args: kept: lines; None: all of them."""
        self._hash = blake2b(digest_size=8)
        self._lines: deque[str] = deque(maxlen=kept)
        self.events = 0

    def event(self, now_s: float, who: str, what: str, *parts: Part) -> None:
        """Enter an event that only the hash needs.

        Args:
            now_s: virtual seconds.
            who: the process, or the harness.
        """
        self.events += 1
        self._hash.update(f"{now_s!r} {who} {what} {parts!r}\n".encode())

    def content(self, *parts: bytes | str | None) -> None:
        """Enter what is left at the end, which is much."""
        for part in parts:
            data = part.encode() if isinstance(part, str) else part
            self._hash.update(b"-" if data is None else b"%d " % len(data) + data)

    def line(self, now_s: float, who: str, text: str) -> None:
        """Enter an event that people may want to read."""
        self.event(now_s, who, text)
        self._lines.append(f"{now_s:9.3f} {who}: {text}")

    def digest(self) -> str:
        """Hash of everything so far."""
        return self._hash.hexdigest()

    def lines(self) -> list[str]:
        return list(self._lines)
