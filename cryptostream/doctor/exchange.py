"""Is the exchange there for us: REST, clock, symbols, history, WebSocket."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import aiohttp

from cryptostream.doctor.finding import Check, Finding
from producers.clock import Clock
from producers.connection import open_connection
from producers.exchanges.binance.answers import Answer, decide, exchange_info, rows_of, server_time
from producers.exchanges.binance.bodies import body_of
from producers.exchanges.binance.listing import listed, named, names_of
from producers.exchanges.binance.parse import Rejected, StreamMessage, parse_frame
from producers.exchanges.binance.streams import open_with, streams_of
from producers.halts import TRADING
from shared.errors import ExchangeError, ExchangeUnavailable, UnknownSymbol
from shared.proxies import proxy_for
from shared.settings import Settings

_TIMEOUT: Final = aiohttp.ClientTimeout(total=7, connect=4)
_CLOCK_SAMPLES: Final = 3
# Beyond a second freshness is more our clock's than the network's; beyond 30 s bars end at wrong times.
_OFFSET_WARN_MS: Final = 1_000
_OFFSET_FAIL_MS: Final = 30_000
_EVENT_S: Final = 5.0
_MEND: Final = "check the network, and the host of BINANCE_REST_URL"


def checks(settings: Settings) -> list[Check]:
    """One check for each thing asked of the exchange."""
    return [
        Check("exchange rest", lambda: asyncio.run(_rest(settings))),
        Check("exchange symbols", lambda: asyncio.run(_symbols(settings))),
        Check("exchange history", lambda: asyncio.run(_history(settings))),
        Check("exchange stream", lambda: asyncio.run(_stream(settings))),
    ]


async def _rest(settings: Settings) -> Sequence[Finding]:
    clock, url = Clock(), settings.binance_rest_url
    async with _session() as session:
        for _ in range(_CLOCK_SAMPLES):
            sent_ms = clock.now_ms()
            server_time_ms = await _get(session, url, "time", {}, server_time)
            clock.offset.receive(sent_ms, server_time_ms, clock.now_ms())
    return (
        Finding("exchange rest", "ok", f"{url} answers in {clock.offset.round_trip_ms} ms"),
        clock_finding(clock.offset.offset_ms),
    )


def clock_finding(offset_ms: float) -> Finding:
    """Judges how far the exchange's clock is ahead of ours."""
    detail = f"the exchange's is {abs(offset_ms):,.0f} ms {'ahead' if offset_ms >= 0 else 'behind'}"
    mend = "set this machine's clock by NTP"
    if abs(offset_ms) > _OFFSET_FAIL_MS:
        return Finding("clock", "fail", detail, mend)
    return (
        Finding("clock", "warn", detail, mend)
        if abs(offset_ms) > _OFFSET_WARN_MS
        else Finding("clock", "ok", detail)
    )


async def _symbols(settings: Settings) -> Sequence[Finding]:
    symbols, url = settings.symbols, settings.binance_rest_url
    async with _session() as session:

        async def ask(some: Sequence[str]) -> dict[str, str]:
            return (await _get(session, url, "exchangeInfo", named(some), exchange_info)).statuses

        known = await listed(symbols, ask)
        names: list[str] = []
        if len(known) < len(symbols):
            with suppress(ExchangeError):  # they only help to say what was meant
                names = names_of(await _get(session, url, "ticker/price", {}, rows_of))
    return symbol_findings(symbols, known, names)


def symbol_findings(
    symbols: Sequence[str], statuses: Mapping[str, str], names: Sequence[str]
) -> list[Finding]:
    """Judges each symbol by its status.

    Args:
        names: of all symbols that the exchange has.
    """
    unknown = [symbol for symbol in symbols if symbol not in statuses]
    closed = [symbol for symbol in symbols if statuses.get(symbol, TRADING) != TRADING]
    found = []
    for symbol in unknown:
        near = difflib.get_close_matches(symbol, names, n=3, cutoff=0.6)
        meant = f"did you mean {', '.join(near)}? " if near else ""
        found.append(
            Finding("exchange symbols", "fail", f"{symbol} is not traded there", f"{meant}mend SYMBOLS")
        )
    for symbol in closed:
        text = f"{symbol} is {statuses[symbol]}: it has no trades and no bars now"
        found.append(Finding("exchange symbols", "warn", text, "wait, or leave it out of SYMBOLS"))
    good = len(symbols) - len(unknown) - len(closed)
    if good:
        named = ", ".join(symbol for symbol in symbols if symbol not in (*unknown, *closed))
        found.append(Finding("exchange symbols", "ok", f"{good} traded: {_cut(named)}"))
    return found


async def _history(settings: Settings) -> Sequence[Finding]:
    url = settings.history_url()
    try:
        async with _session() as session:
            newest = {"symbol": settings.symbols[0], "limit": "1"}
            await _get(session, url, "historicalTrades", newest, rows_of)
    except UnknownSymbol:
        return (Finding("exchange history", "ok", f"{url} answers"),)
    except ExchangeError as error:
        consequence = "only the newest 1,000 trades of a symbol can be repaired"
        return (
            Finding("exchange history", "warn", f"{_short(error)}: {consequence}", "set BINANCE_HISTORY_URL"),
        )
    return (Finding("exchange history", "ok", f"{url} gives old trades"),)


async def _stream(settings: Settings) -> Sequence[Finding]:
    url, frames = open_with(settings.binance_ws_url, streams_of(settings.symbols[0], settings.intervals))
    connection = await open_connection(url, frames)
    try:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _EVENT_S
        while True:
            if not connection.frames:
                await asyncio.wait_for(connection.more(), deadline - loop.time())
            parsed = parse_frame(connection.frames.popleft(), Clock().now_ms())
            if isinstance(parsed, StreamMessage | Rejected):
                break
    except TimeoutError:
        text = (
            f"{settings.binance_ws_url} is open, but sent no event of {settings.symbols[0]} in {_EVENT_S:g} s"
        )
        return (Finding("exchange stream", "warn", text, "see whether the symbol is traded now"),)
    finally:
        connection.transport.abort()
    if isinstance(parsed, Rejected):
        text = f"{settings.binance_ws_url} sends what is not understood: {parsed.reason}"
        return (Finding("exchange stream", "fail", text, "name a Binance spot host by BINANCE_WS_URL"),)
    text = f"{settings.binance_ws_url} sends events ({parsed.kind} of {parsed.message['symbol']})"
    return (Finding("exchange stream", "ok", text),)


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=_TIMEOUT)


async def _get(
    session: aiohttp.ClientSession,
    base: str,
    path: str,
    parameters: dict[str, str],
    read: Callable[[Any], Answer],
) -> Answer:
    """One attempt: a check is about now.

    Raises:
        ExchangeError: as `decide`.
    """
    request = f"GET {base}/api/v3/{path}"
    try:
        async with session.get(
            f"{base}/api/v3/{path}", params=parameters, proxy=proxy_for(base), allow_redirects=False
        ) as response:
            body = await body_of(response)
            headers = {name.lower(): value for name, value in response.headers.items()}
            return decide(response.status, headers, body, request, read)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        reason = str(getattr(error, "os_error", error)) or type(error).__name__
        raise ExchangeUnavailable(f"{request}: no answer ({reason}); {_MEND}") from None


def _short(error: ExchangeError) -> str:
    return str(error).partition("; ")[0]


def _cut(text: str, width: int = 60) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
