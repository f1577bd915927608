"""Single questions to Binance, of one attempt each: what `doctor` asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import aiohttp

from producers.exchanges.binance.answers import Answer, decide, exchange_info, rows_of, server_time
from producers.exchanges.binance.listing import listed, named, names_of
from producers.exchanges.bodies import body_of
from producers.exchanges.port import Addresses
from shared.errors import ExchangeUnavailable
from shared.proxies import proxy_for

_TIMEOUT: Final = aiohttp.ClientTimeout(total=7, connect=4)
_FIX: Final = "check the network, and the host of BINANCE_REST_URL"


class BinanceEnquiry:
    """Make it within an event loop, and close it. Errors as of `decide`."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT)

    async def close(self) -> None:
        await self._session.close()

    async def time_ms(self) -> int:
        return await self._get(self._addresses.rest, "time", {}, server_time)

    async def listed_statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        async def ask(some: Sequence[str]) -> dict[str, str]:
            info = await self._get(self._addresses.rest, "exchangeInfo", named(some), exchange_info)
            return info.statuses

        return await listed(symbols, ask)

    async def names(self) -> list[str]:
        return names_of(await self._get(self._addresses.rest, "ticker/price", {}, rows_of))

    async def old_trades(self, symbol: str) -> None:
        newest = {"symbol": symbol, "limit": "1"}
        await self._get(self._addresses.history, "historicalTrades", newest, rows_of)

    async def _get(
        self, base: str, path: str, parameters: dict[str, str], read: Callable[[Any], Answer]
    ) -> Answer:
        url = f"{base}/api/v3/{path}"
        try:
            async with self._session.get(
                url, params=parameters, proxy=proxy_for(base), allow_redirects=False
            ) as response:
                body = await body_of(response)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return decide(response.status, headers, body, f"GET {url}", read)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(getattr(error, "os_error", error)) or type(error).__name__
            raise ExchangeUnavailable(f"GET {url}: no answer ({reason}); {_FIX}") from None
