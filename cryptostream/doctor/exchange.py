"""Checks of each exchange: REST, clock, symbols, history, WebSocket."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

from cryptostream.doctor.checks import Check, Finding, Status
from producers.clock import Clock
from producers.connection import open_connection
from producers.exchanges.frame_types import Rejected, StreamMessage
from producers.exchanges.port import Exchange, Plan
from producers.exchanges.registry import exchange_named
from producers.exchanges.rest_port import TRADING, Enquiry
from producers.exchanges.stream_events import BookUpdate, SubscriptionRefused
from producers.frames import FrameConnection
from shared.errors import ExchangeError, UnknownSymbol, UsageError
from shared.settings import Settings

_CLOCK_SAMPLES: Final = 3
# Beyond 1 s freshness measures the clock rather than the network; beyond 30 s bars end at wrong times.
_OFFSET_WARN_MS: Final = 1_000
_OFFSET_FAIL_MS: Final = 30_000
_EVENT_S: Final = 5.0

# A check of an exchange, under the name before its part.
_Ask = Callable[[Exchange, Settings, str], Coroutine[Any, Any, Sequence[Finding]]]


def checks(settings: Settings) -> list[Check]:
    """Those of all exchanges of the deployment; where there are several, under their names."""
    exchanges = settings.exchanges
    return [
        check
        for name in exchanges
        for check in _checks(settings.of(name), name if len(exchanges) > 1 else "exchange")
    ]


def _checks(settings: Settings, name: str) -> list[Check]:
    """Those of one exchange; `name` is what they are called by."""
    exchange = exchange_named(settings.exchange)
    return [
        Check(f"{name} {part}", partial(_run, ask, exchange, settings, name))
        for part, ask in (
            ("rest", _rest),
            ("symbols", _symbols),
            ("history", _history),
            ("stream", _stream),
        )
    ]


def _run(ask: _Ask, exchange: Exchange, settings: Settings, name: str) -> Sequence[Finding]:
    return asyncio.run(ask(exchange, settings, name))


@asynccontextmanager
async def _asking(exchange: Exchange, settings: Settings) -> AsyncIterator[Enquiry]:
    enquiry = exchange.enquiry(exchange.addresses(settings))
    try:
        yield enquiry
    finally:
        await enquiry.close()


async def _rest(exchange: Exchange, settings: Settings, name: str = "exchange") -> Sequence[Finding]:
    clock, url = Clock(), exchange.addresses(settings).rest
    async with _asking(exchange, settings) as enquiry:
        for _ in range(_CLOCK_SAMPLES):
            sent_ms = clock.now_ms()
            server_time_ms = await enquiry.time_ms()
            clock.offset.receive(sent_ms, server_time_ms, clock.now_ms())
    return (
        Finding(f"{name} rest", "ok", f"{url} answers in {clock.offset.round_trip_ms} ms"),
        clock_finding(clock.offset.offset_ms, "clock" if name == "exchange" else f"{name} clock"),
    )


def clock_finding(offset_ms: float, check: str = "clock") -> Finding:
    """How far the exchange's clock is ahead of ours."""
    detail = f"the exchange's is {abs(offset_ms):,.0f} ms {'ahead' if offset_ms >= 0 else 'behind'}"
    if abs(offset_ms) <= _OFFSET_WARN_MS:
        return Finding(check, "ok", detail)
    status: Status = "fail" if abs(offset_ms) > _OFFSET_FAIL_MS else "warn"
    return Finding(check, status, detail, "set this machine's clock by NTP")


async def _symbols(exchange: Exchange, settings: Settings, name: str = "exchange") -> Sequence[Finding]:
    check, symbols = f"{name} symbols", settings.symbols
    misnamed = {symbol: fault for symbol in symbols if (fault := _misnamed(exchange, symbol)) is not None}
    found = [Finding(check, "fail", *_split(fault)) for fault in misnamed.values()]
    symbols = tuple(symbol for symbol in symbols if symbol not in misnamed)
    if not symbols:
        return found
    async with _asking(exchange, settings) as enquiry:
        known = await enquiry.listed_statuses(symbols)
        names: Sequence[str] = ()
        if len(known) < len(symbols):
            with suppress(ExchangeError):  # names serve only to suggest what was meant
                names = await enquiry.names()
    return [*found, *symbol_findings(symbols, known, names, check)]


def _misnamed(exchange: Exchange, symbol: str) -> str | None:
    """Why the exchange cannot know a symbol of this form; None if it can."""
    try:
        exchange.symbol(symbol)
    except UsageError as fault:
        return str(fault)
    return None


def _split(fault: str) -> tuple[str, str]:
    """What is wrong, and what to do."""
    what, _, way_out = fault.partition("; ")
    return what, way_out


def symbol_findings(
    symbols: Sequence[str],
    statuses: Mapping[str, str],
    names: Sequence[str],
    check: str = "exchange symbols",
) -> list[Finding]:
    """One finding for each symbol that is unknown or not trading, one for all others.

    Args:
        names: all symbols of the exchange.
    """
    unknown = [symbol for symbol in symbols if symbol not in statuses]
    closed = [symbol for symbol in symbols if statuses.get(symbol, TRADING) != TRADING]
    found = []
    for symbol in unknown:
        near = difflib.get_close_matches(symbol, names, n=3, cutoff=0.6)
        meant = f"did you mean {', '.join(near)}? " if near else ""
        found.append(Finding(check, "fail", f"{symbol} is not traded there", f"{meant}fix SYMBOLS"))
    for symbol in closed:
        text = f"{symbol} is {statuses[symbol]}: it has no trades and no bars now"
        found.append(Finding(check, "warn", text, "wait, or leave it out of SYMBOLS"))
    good = len(symbols) - len(unknown) - len(closed)
    if good:
        named = ", ".join(symbol for symbol in symbols if symbol not in (*unknown, *closed))
        found.append(
            Finding(check, "ok", f"{good} traded: {named if len(named) <= 60 else f'{named[:59]}…'}")
        )
    return found


async def _history(exchange: Exchange, settings: Settings, name: str = "exchange") -> Sequence[Finding]:
    url = exchange.addresses(settings).history
    try:
        async with _asking(exchange, settings) as enquiry:
            await enquiry.old_trades(settings.symbols[0])
    except UnknownSymbol:
        return (Finding(f"{name} history", "ok", f"{url} answers"),)
    except ExchangeError as error:
        consequence = "only the newest trades of a symbol can be repaired"
        return (
            Finding(
                f"{name} history",
                "warn",
                f"{str(error).partition('; ')[0]}: {consequence}",
                f"set {exchange.settings.history}",
            ),
        )
    return (Finding(f"{name} history", "ok", f"{url} gives old trades"),)


async def _stream(exchange: Exchange, settings: Settings, name: str = "exchange") -> Sequence[Finding]:
    check, addresses, symbol = f"{name} stream", exchange.addresses(settings), settings.symbols[0]
    [plan, *_] = exchange.connections(addresses, (symbol,), settings.intervals)
    connection = await open_connection(plan)
    try:
        event = await asyncio.wait_for(_first_event(connection, exchange, plan), _EVENT_S)
    except TimeoutError:
        text = f"{plan.host} is open, but sent no event of {symbol} in {_EVENT_S:g} s"
        return (Finding(check, "warn", text, "see whether the symbol is traded now"),)
    finally:
        connection.transport.abort()
    if isinstance(event, Rejected):
        text = f"{plan.host} sends what is not understood: {event.reason}"
        fix = f"name a {exchange.title} spot host by {plan.setting}"
        return (Finding(check, "fail", text, fix),)
    if isinstance(event, SubscriptionRefused):
        return (Finding(check, "fail", f"{plan.host}: {event.reason}", "see whether SYMBOLS are listed"),)
    kind = "book" if isinstance(event, BookUpdate) else event.kind
    text = f"{plan.host} sends events ({kind} of {event.message['symbol']})"
    return (Finding(check, "ok", text),)


async def _first_event(
    connection: FrameConnection, exchange: Exchange, plan: Plan
) -> StreamMessage | BookUpdate | SubscriptionRefused | Rejected:
    """The first event of a stream, or why there is none."""
    parse, clock = exchange.parser(plan), Clock()
    while True:
        if not connection.frames:
            await connection.more()
        for event in parse(connection.frames.popleft(), clock.now_ms()):
            if isinstance(event, StreamMessage | BookUpdate | SubscriptionRefused | Rejected):
                return event
