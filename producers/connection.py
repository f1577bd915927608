"""A WebSocket connection to an exchange, opened and judged (BINANCE_SPOT.md §2.2, §7.6, §13)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import CloseCode

from producers.exchanges.binance.streams import Stream
from producers.frames import FrameConnection
from producers.watchdog import Watchdog
from shared.errors import ExchangeRefused, ExchangeUnavailable
from shared.proxies import proxy_for
from shared.redirects import is_redirect, target
from shared.shortened import shortened

_OPEN_TIMEOUT_S: Final = 10.0
_CLOSE_TIMEOUT_S: Final = 2.0
# The exchange's longest are a tenth of it; decoded it takes up to thirty times as much.
_MAX_FRAME_BYTES: Final = 900_000
_BLOCK_S: Final = 300.0
_LIMIT_S: Final = 60.0


class Link:
    """An open connection, its age, and how its streams are doing.

    Attributes:
        frames, more: its messages, see `FrameConnection`.
        due_s: when to open the next one, in seconds of the monotonic clock.
        leaving: why the next one is wanted; None while it is not.
        silent: streams that it has stopped carrying.
        lies: how many frames of a stream had ids or times out of bounds.
    """

    def __init__(self, connection: FrameConnection, streams: Sequence[Stream], age_s: float) -> None:
        self._connection = connection
        self._closing: asyncio.Task[None] | None = None
        self.frames = connection.frames
        self.more = connection.more
        self.opened_s = time.monotonic()
        self.due_s = self.opened_s + age_s
        self.watchdog = Watchdog([stream[:3] for stream in streams], self.opened_s)
        self.leaving: str | None = None
        self.silent: frozenset[tuple[str, str, str | None]] = frozenset()
        self.lies: dict[str, int] = {}

    def close(self) -> asyncio.Task[None]:
        """Begin to close; what has been received can still be read. Ends within some seconds."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._connection.close())
        return self._closing

    @property
    def closing(self) -> bool:
        return self._closing is not None

    def drop(self) -> None:
        """Nothing more is wanted of it."""
        self._connection.transport.abort()


def why_closed(closed: ConnectionClosed) -> str:
    """The end of a connection in words."""
    if frame_refused(closed):
        return f"connection closed: a frame of more than {_MAX_FRAME_BYTES:,} bytes came"
    frame = closed.rcvd
    return shortened(f"connection closed: {frame.code} {frame.reason}".strip() if frame else closed)


def frame_refused(closed: ConnectionClosed) -> bool:
    """We closed it, as RFC 6455 §7.4.1 says (1009), for a frame that is too long to be taken."""
    return (
        closed.sent is not None
        and closed.sent.code == CloseCode.MESSAGE_TOO_BIG
        and not closed.rcvd_then_sent
    )


class _ConnectHere(connect):
    """A connection to the server that was named, and to no other that it may name."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


async def open_connection(url: str, subscribe_frames: Sequence[bytes]) -> FrameConnection:
    """Open a connection and subscribe.

    Raises:
        ExchangeUnavailable: transient, `retry_after` where the exchange asked for it.
        ExchangeRefused: this place is not served.
        SettingsError: the environment names a proxy that cannot be used.
    """
    host = url.split("/stream", 1)[0]
    proxy = proxy_for(url)
    try:
        connection = await _ConnectHere(
            url,
            create_connection=FrameConnection,
            compression=None,  # the exchange offers none, and it would cost more than it saves
            max_size=_MAX_FRAME_BYTES,
            proxy=proxy,
            open_timeout=_OPEN_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
            # Streams are watched by the age of their events; a ping of ours would count against the
            # exchange's limit of five frames a second (BINANCE_SPOT.md §2.3).
            ping_interval=None,
        )
    except InvalidStatus as error:
        raise _refused(error.response.status_code, error.response.headers.get("Location"), host) from None
    except (InvalidHandshake, OSError, TimeoutError) as error:
        reason = shortened(error) or type(error).__name__
        raise ExchangeUnavailable(f"{host}: no connection ({reason}); see BINANCE_WS_URL") from None
    assert isinstance(connection, FrameConnection)
    try:
        for frame in subscribe_frames:
            await connection.send(frame, text=True)
    except ConnectionClosed as closed:
        raise ExchangeUnavailable(f"{host}: {why_closed(closed)} while subscribing") from None
    return connection


def _refused(status: int, location: str | None, host: str) -> ExchangeUnavailable | ExchangeRefused:
    match status:
        case 451:
            return ExchangeRefused(
                f"{host}: the exchange does not serve this place (451); "
                "set BINANCE_WS_URL and BINANCE_REST_URL to its market-data-only hosts"
            )
        case 403:
            return ExchangeUnavailable(f"{host}: blocked by the exchange's firewall (403)", _BLOCK_S)
        case 418 | 429:
            return ExchangeUnavailable(f"{host}: too many connections from this IP ({status})", _LIMIT_S)
        case 404:
            return ExchangeRefused(f"{host}: has no /stream (404); BINANCE_WS_URL is scheme and host only")
        case _ if is_redirect(status):
            return ExchangeRefused(
                f"{host}: sends on to {target(location)} ({status}), which is not followed; "
                "give the exchange's own address by BINANCE_WS_URL"
            )
        case _:
            return ExchangeUnavailable(f"{host}: handshake refused ({status})")
