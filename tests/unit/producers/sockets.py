"""A socket in place of a real one."""

from __future__ import annotations

from typing import Any

from websockets.exceptions import ConnectionClosedError


class Socket:
    """Keeps what is sent."""

    def __init__(self, *, closed: bool = False) -> None:
        self.sent: list[bytes] = []
        self.frames: Any = []
        self.transport = self
        self._closed = closed

    async def more(self) -> None:
        """Nothing comes."""

    async def send(self, frame: bytes, *, text: bool) -> None:
        assert text
        if self._closed:
            raise ConnectionClosedError(None, None)
        self.sent.append(frame)

    def abort(self) -> None:
        """Nothing is open."""
