"""Kraken's REST over HTTP: one session, one pace, bounded attempts."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import aiohttp

from producers.exchanges.bodies import body_of
from producers.exchanges.fields import OF_FOREIGN_VALUES, reason
from producers.exchanges.kraken.answers import result_of
from producers.exchanges.pacing import Pacer
from shared.backoff import Backoff
from shared.errors import ExchangeUnavailable, ExchangeUnreadable
from shared.proxies import proxy_for
from shared.shortened import shortened

Answer = TypeVar("Answer")

_TIMEOUT: Final = aiohttp.ClientTimeout(total=15, connect=5)
# AssetPairs of all 1,400 pairs is about 1.3 MB.
_MOST_BYTES: Final = 4 * 2**20


class KrakenClient:
    """GET requests to `/0/public/…`. Use it within an event loop.

    Args:
        attempts: of one request, while the exchange does not answer.
        way_out: what a user can do about an exchange that does not answer, behind a semicolon; "" for none.

    Raises:
        SettingsError: the environment names an unusable proxy.
    """

    def __init__(self, rest_url: str, pacer: Pacer, *, attempts: int = 4, way_out: str = "") -> None:
        proxy_for(rest_url)  # an unusable proxy is an error now, not at each request
        self._rest_url = rest_url
        self.pacer = pacer
        self._attempts = attempts
        self._way_out = way_out
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(
        self, path: str, parameters: dict[str, str], read: Callable[[dict[str, Any]], Answer]
    ) -> Answer:
        """The content of an answer.

        Args:
            read: of the result; may raise any of OF_FOREIGN_VALUES.

        Raises:
            ExchangeUnavailable, ExchangeRefused, UnknownSymbol: as of `result_of`.
            ExchangeUnreadable: `read` cannot read it.
        """
        backoff = Backoff(random.random, first_s=0.5, cap_s=8.0)
        while True:
            try:
                return await self._once(path, parameters, read)
            except ExchangeUnavailable as error:
                if backoff.failures + 1 >= self._attempts or error.retry_after:
                    raise
                await asyncio.sleep(backoff.failed())

    async def _once(
        self, path: str, parameters: dict[str, str], read: Callable[[dict[str, Any]], Answer]
    ) -> Answer:
        url = f"{self._rest_url}/0/public/{path}"
        request = f"GET {url}"
        now_s = time.monotonic()
        closed_s = self.pacer.closed_s(now_s)
        if closed_s:
            raise ExchangeUnavailable(f"{request}: the exchange asked to wait", closed_s)
        await asyncio.sleep(self.pacer.take(now_s))
        try:
            status, headers, body = await self._send(url, parameters)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            said = shortened(getattr(error, "os_error", error)) or type(error).__name__
            raise ExchangeUnavailable(f"{request}: no answer ({said}){self._way_out}") from None
        try:
            result = result_of(status, headers, body, request)
        except ExchangeUnavailable as error:
            if error.retry_after:
                self.pacer.close(time.monotonic(), error.retry_after)
            raise
        try:
            return read(result)
        except OF_FOREIGN_VALUES as error:
            raise ExchangeUnreadable(f"{request}: {reason(error)}") from None

    async def _send(self, url: str, parameters: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        request = self._session.get(url, params=parameters, proxy=proxy_for(url), allow_redirects=False)
        async with request as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return response.status, headers, await body_of(response, _MOST_BYTES)
