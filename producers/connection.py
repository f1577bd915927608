"""A WebSocket connection to an exchange, opened and judged (BINANCE_SPOT.md §2.2, §7.6, §13)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from shared.errors import ExchangeRefused, ExchangeUnavailable

_OPEN_TIMEOUT_S: Final = 10.0
_CLOSE_TIMEOUT_S: Final = 2.0
# Frames received and not yet read; above it the socket is not read, so TCP holds the exchange back.
_QUEUED_FRAMES: Final = 4_096
# The largest message that Kafka takes is 1 MB, and a frame may become a dead letter.
_MAX_FRAME_BYTES: Final = 900_000
_BLOCK_S: Final = 300.0
_LIMIT_S: Final = 60.0


async def open_connection(url: str, subscribe_frames: Sequence[bytes]) -> ClientConnection:
    """Open a connection and subscribe.

    Raises:
        ExchangeUnavailable: transient, `retry_after` where the exchange asked for it.
        ExchangeRefused: this place is not served.
    """
    host = url.split("/stream", 1)[0]
    try:
        connection = await connect(
            url,
            compression=None,  # the exchange offers none, and it would cost more than it saves
            max_queue=_QUEUED_FRAMES,
            max_size=_MAX_FRAME_BYTES,
            open_timeout=_OPEN_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
            # Streams are watched by the age of their events; a ping of ours would count against the
            # exchange's limit of five frames a second (BINANCE_SPOT.md §2.3).
            ping_interval=None,
        )
    except InvalidStatus as error:
        raise _refused(error.response.status_code, host) from None
    except (InvalidHandshake, OSError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        raise ExchangeUnavailable(f"{host}: no connection ({reason}); see BINANCE_WS_URL") from None
    for frame in subscribe_frames:
        await connection.send(frame, text=True)
    return connection


def _refused(status: int, host: str) -> ExchangeUnavailable | ExchangeRefused:
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
        case _:
            return ExchangeUnavailable(f"{host}: handshake refused ({status})")
