"""Bodies of answers, bounded: none may take the memory that this process is given."""

from __future__ import annotations

from typing import Final

import aiohttp

# The longest that is asked for, exchangeInfo of SYMBOLS_AT_ONCE symbols, is about 0.7 MB; decoded JSON takes
# up to 30 times its length, of 160 MB that a producer has.
MOST_BYTES: Final = 2 * 2**20
_PIECE: Final = 2**16


async def body_of(response: aiohttp.ClientResponse) -> bytes:
    """The body as it was before it was packed.

    Raises:
        aiohttp.ClientPayloadError: it is longer than MOST_BYTES; no more of it is read or unpacked.
    """
    body = bytearray()
    async for piece in response.content.iter_chunked(_PIECE):
        body += piece
        if len(body) > MOST_BYTES:
            response.close()  # what is still to come is not wanted
            raise aiohttp.ClientPayloadError(
                f"a body of more than {MOST_BYTES:,} bytes, where the longest that is asked for has a third"
            )
    return bytes(body)
