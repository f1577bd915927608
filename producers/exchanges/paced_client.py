"""HTTP for an exchange's REST whose limit is a pace: one session, bounded attempts, no redirects followed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

import aiohttp

from producers.exchanges.bodies import body_of
from producers.exchanges.pacing import Pacer
from shared.backoff import Backoff
from shared.errors import ExchangeUnavailable
from shared.proxies import proxy_for
from shared.shortened import shortened

Answer = TypeVar("Answer")
Parameters = Mapping[str, str] | Sequence[tuple[str, str]]
# Reads status, headers with names in lower case, and body; the last one is the request, for errors.
Decide = Callable[[int, Mapping[str, str], bytes, str], Answer]

_TIMEOUT: Final = aiohttp.ClientTimeout(total=15, connect=5)
# All pairs of Kraken are about 1.3 MB, all products of Coinbase as much.
_MOST_BYTES: Final = 4 * 2**20


async def of_each(symbols: Sequence[str], ask: Callable[[str], Awaitable[Answer]]) -> dict[str, Answer]:
    """The answer about each symbol; all take their turn now, before what is asked later.

    Raises:
        Exception: the first that `ask` raises, when all have been asked.
    """
    answers = await asyncio.gather(*(ask(symbol) for symbol in symbols), return_exceptions=True)
    found: dict[str, Answer] = {}
    for symbol, answer in zip(symbols, answers, strict=True):
        if isinstance(answer, BaseException):
            raise answer
        found[symbol] = answer
    return found


class PacedClient:
    """GET requests at a pace. Use it within an event loop.

    Args:
        hosts: whose proxies are checked.
        attempts: of one request, while the exchange does not answer.
        way_out: what a user can do about an exchange that does not answer, behind a semicolon; "" for none.

    Raises:
        SettingsError: the environment names an unusable proxy.
    """

    def __init__(self, hosts: Sequence[str], pacer: Pacer, *, attempts: int = 4, way_out: str = "") -> None:
        for host in hosts:
            proxy_for(host)  # an unusable proxy is an error now, not at each request
        self._pacer = pacer
        self._attempts = attempts
        self._way_out = way_out
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, url: str, parameters: Parameters, decide: Decide[Answer]) -> Answer:
        """The content of an answer.

        Args:
            decide: see `Decide`; an ExchangeUnavailable of it with `retry_after` stops all requests until
                then.

        Raises:
            ExchangeUnavailable: no attempt was answered, or the exchange asked to wait.
            Exception: what `decide` raises.
        """
        backoff = Backoff(random.random, first_s=0.5, cap_s=8.0)
        while True:
            try:
                return await self._once(url, parameters, decide)
            except ExchangeUnavailable as error:
                if backoff.failures + 1 >= self._attempts or error.retry_after:
                    raise
                await asyncio.sleep(backoff.failed())

    async def _once(self, url: str, parameters: Parameters, decide: Decide[Answer]) -> Answer:
        request = f"GET {url}"
        now_s = time.monotonic()
        closed_s = self._pacer.closed_s(now_s)
        if closed_s:
            raise ExchangeUnavailable(f"{request}: the exchange asked to wait", closed_s)
        await asyncio.sleep(self._pacer.take(now_s))
        try:
            status, headers, body = await self._send(url, parameters)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            said = shortened(getattr(error, "os_error", error)) or type(error).__name__
            raise ExchangeUnavailable(f"{request}: no answer ({said}){self._way_out}") from None
        try:
            return decide(status, headers, body, request)
        except ExchangeUnavailable as error:
            if error.retry_after:
                self._pacer.close(time.monotonic(), error.retry_after)
            raise

    async def _send(self, url: str, parameters: Parameters) -> tuple[int, dict[str, str], bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        request = self._session.get(url, params=parameters, proxy=proxy_for(url), allow_redirects=False)
        async with request as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return response.status, headers, await body_of(response, _MOST_BYTES)
