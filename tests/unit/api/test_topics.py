from __future__ import annotations

import asyncio
import threading

from api.topics import Searches

CONFIGURED = frozenset([("binance", "BTCUSDC")])


def test_searches_for_other_instruments_do_not_hold_up_those_of_configured_ones() -> None:
    held = threading.Event()

    async def scene() -> None:
        searches = Searches("127.0.0.1:1", CONFIGURED)
        other = asyncio.ensure_future(searches.of("binance", "NOPE").run(lambda: held.wait(10)))
        await asyncio.sleep(0)
        assert await asyncio.wait_for(searches.of("binance", "BTCUSDC").run(lambda: 7), 10) == 7
        assert not other.done()
        held.set()
        await other
        searches.close()

    asyncio.run(scene())
