"""The WebSocket of the stream: handshake, one reader and one sender a client."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.client import MOST_ANSWERS, Client
from api.guard import allowed_host, bearer_of_protocols, same_origin, token_matches
from api.live import Live
from api.problems import Problem
from api.protocol import LONGEST_REQUEST, SUBPROTOCOL, ProtocolError
from shared.settings import Settings

log: Final = logging.getLogger(__name__)

PATH: Final = "/api/v1/stream"
# For `uvicorn.Config`: it closes who answers no ping within half a minute, and whose request is too long
# (1009). A hidden tab answers pings, though it paints nothing.
SERVER_OPTIONS: Final = {
    "ws_ping_interval": 15.0,
    "ws_ping_timeout": 15.0,
    "ws_max_size": LONGEST_REQUEST,
    "ws_per_message_deflate": False,  # frames are small and many: it would cost more than sending them
}
# A socket that takes nothing for so long belongs to nobody.
DRAIN_S: Final = 30.0
_POLICY, _PROTOCOL, _TRY_LATER = 1008, 1002, 1013
_LONGEST_REASON: Final = 120  # bytes; the protocol has room for 123


def stream_router(live: Live, settings: Settings) -> APIRouter:
    """The route of the stream."""
    router = APIRouter()

    async def stream(websocket: WebSocket) -> None:
        await _serve(websocket, live, settings)

    async def no_websocket() -> None:
        raise Problem(
            HTTPStatus.UPGRADE_REQUIRED,
            f"{PATH}: is a WebSocket; open it with the sub-protocol {SUBPROTOCOL}",
            {"Upgrade": "websocket", "Connection": "Upgrade"},
        )

    router.add_api_websocket_route(PATH, stream)
    router.add_api_route(PATH, no_websocket, include_in_schema=False)
    return router


async def _serve(websocket: WebSocket, live: Live, settings: Settings) -> None:
    headers = websocket.headers
    host = headers.get("host", "")
    if not allowed_host(host, settings) or not same_origin(headers.get("origin"), host):
        await websocket.close(_POLICY)  # before the handshake: HTTP 403
        return
    protocols = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
    known = SUBPROTOCOL in protocols
    await websocket.accept(SUBPROTOCOL if known else None)
    if not known:
        await websocket.close(_PROTOCOL, f"ask for the sub-protocol {SUBPROTOCOL}")
        return
    if not token_matches(bearer_of_protocols(protocols), settings.api_token.get_secret_value()):
        await websocket.close(_POLICY, "needs the token of API_TOKEN, as the sub-protocol bearer.<base64url>")
        return
    joined = live.join()
    if joined is None:
        await websocket.close(_TRY_LATER, f"{live.most_clients} clients are served already; try again later")
        return
    client, wake = joined
    try:
        await _converse(websocket, live, client, wake)
    finally:
        live.leave(client)


async def _converse(websocket: WebSocket, live: Live, client: Client, wake: asyncio.Event) -> None:
    """Read and send until one of both ends."""
    drained = asyncio.Event()
    reader = asyncio.create_task(_read(websocket, live, client, drained))
    sender = asyncio.create_task(_send(websocket, live, client, wake, drained))
    try:
        await asyncio.wait((reader, sender), return_when=asyncio.FIRST_COMPLETED)
    finally:
        reader.cancel()
        sender.cancel()
        await asyncio.wait((reader, sender))
    for task in (reader, sender):
        match None if task.cancelled() else task.exception():
            case ProtocolError() as error:
                await _close(websocket, error.code, str(error))
            case TimeoutError():
                log.info("a client took nothing for %.0f s: closed", DRAIN_S)
                await _close(websocket, _POLICY, f"nothing was taken for {DRAIN_S:.0f} s")
            case WebSocketDisconnect() | None:
                pass
            case BaseException() as error:
                raise error


async def _read(websocket: WebSocket, live: Live, client: Client, drained: asyncio.Event) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        live.receive(client, message.get("bytes") or b"" if text is None else text)
        while len(client.answers) > MOST_ANSWERS:
            drained.clear()
            await drained.wait()


async def _send(
    websocket: WebSocket, live: Live, client: Client, wake: asyncio.Event, drained: asyncio.Event
) -> None:
    while True:
        await wake.wait()
        wake.clear()
        while True:
            frame = client.take(live.now_ms())
            # As one: an answer to what is asked while these are on their way comes after them. A frame with
            # rows of an id that is in use again meanwhile would else be taken for the new subscription's.
            messages = [*client.answers, *(() if frame is None else (frame,))]
            client.answers.clear()
            drained.set()
            if not messages:
                break
            for message in messages:
                await _send_one(websocket, message)
        live.sent(client)


async def _send_one(websocket: WebSocket, message: bytes) -> None:
    async with asyncio.timeout(DRAIN_S):
        await websocket.send_text(message.decode())


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    try:
        async with asyncio.timeout(1):
            await websocket.close(code, reason.encode()[:_LONGEST_REASON].decode(errors="ignore"))
    except (RuntimeError, TimeoutError, WebSocketDisconnect):
        log.debug("a client was gone before its connection was closed")
