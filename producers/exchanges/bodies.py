"""Reads HTTP bodies up to a bound."""

from __future__ import annotations

from typing import Final

import aiohttp

# Decoded JSON takes up to 30 times its length, of a producer's 160 MB. Binance's longest answer, exchangeInfo
# of 100 symbols, is about 0.7 MB.
MOST_BYTES: Final = 2 * 2**20
_PIECE: Final = 2**16


async def body_of(response: aiohttp.ClientResponse, most_bytes: int = MOST_BYTES) -> bytes:
    """The uncompressed body.

    Raises:
        aiohttp.ClientPayloadError: it is longer than `most_bytes`; the rest is not read or decompressed.
    """
    body = bytearray()
    async for piece in response.content.iter_chunked(_PIECE):
        body += piece
        if len(body) > most_bytes:
            response.close()  # the rest is not wanted
            raise aiohttp.ClientPayloadError(f"a body of more than {most_bytes:,} bytes")
    return bytes(body)
