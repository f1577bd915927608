"""A feed that is never the bottleneck: prepared frames, written to the socket in large pieces.

It implements what one client needs: the WebSocket handshake, and the REST answers of a producer's start.
`python -m bench.feed COUNT` prints its port, then the time of the first frame.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
import sys
import time
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from bench.frames import FIRST_TRADE_ID, INTERVALS, SYMBOL, frames, snapshot

_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
_SETTLE_S: Final = 2.0  # for the REST requests of a starting producer
_PIECE: Final = 65_536


def framed(payload: bytes) -> bytes:
    """An unmasked WebSocket text frame (RFC 6455 §5.2)."""
    length = len(payload)
    if length < 126:
        return struct.pack("!BB", 0x81, length) + payload
    if length < 65_536:
        return struct.pack("!BBH", 0x81, 126, length) + payload
    return struct.pack("!BBQ", 0x81, 127, length) + payload


def rest_answer(path: str, query: str = "") -> Any:
    """What a starting producer is told: an exchange whose next trade is the first one of the frames."""
    now_ms = time.time_ns() // 1_000_000
    match path.rsplit("/", 1)[-1]:
        case "time":
            return {"serverTime": now_ms}
        case "depth":
            return snapshot()
        case "exchangeInfo":
            limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}
            return {
                "timezone": "UTC",
                "serverTime": now_ms,
                "rateLimits": [limit],
                "symbols": [
                    {"symbol": SYMBOL, "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT"}
                ],
            }
        case "24hr":
            ticker = {"symbol": SYMBOL, "firstId": 1, "lastId": FIRST_TRADE_ID - 1}
            return [ticker] if "symbols=" in query else ticker
        case "klines" | "historicalTrades" | "aggTrades" | "trades":
            return []
        case _:
            return {}


async def serve(count: int) -> None:
    blob = b"".join(framed(frame) for frame in frames(count, time.time_ns() // 1_000_000))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = urlsplit(head.split(" ", 2)[1])
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:] if line)
        }
        if headers.get("upgrade", "").lower() == "websocket":
            digest = hashlib.sha1(
                (headers["sec-websocket-key"] + _GUID).encode(), usedforsecurity=False
            ).digest()
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
            )
            await asyncio.sleep(_SETTLE_S)
            sys.stdout.write(orjson.dumps({"sending_at": time.monotonic()}).decode() + "\n")
            sys.stdout.flush()
            for start in range(0, len(blob), _PIECE):
                writer.write(blob[start : start + _PIECE])
                await writer.drain()
            await reader.read()  # until the client goes
        else:
            body = orjson.dumps(rest_answer(target.path, target.query))
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                b"X-MBX-USED-WEIGHT-1M: 1\r\n"
                b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
            )
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=2**20)
    sys.stdout.write(orjson.dumps({"port": server.sockets[0].getsockname()[1]}).decode() + "\n")
    sys.stdout.flush()
    await server.serve_forever()


def stream_names() -> list[str]:
    symbol = SYMBOL.lower()
    kinds = ["trade", "depth@100ms", "bookTicker", *(f"kline_{interval}" for interval in INTERVALS)]
    return [f"{symbol}@{kind}" for kind in kinds]


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
