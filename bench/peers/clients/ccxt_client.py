"""ccxt's WebSocket part as its manual says: a loop of `watch…` for each symbol, which goes on after an error.

Addresses by `urls`. Currencies are not asked for: the simulator has no such endpoints, and nothing here
needs them.
"""

from __future__ import annotations

import asyncio
import os
import signal
from argparse import Namespace
from collections.abc import Awaitable, Callable
from typing import Any

import ccxt.pro

from bench.peers.clients.lines import LEVELS, Lines, asked

# Before a `watch…` that failed is called again.
_PAUSE_S = 0.1


def _exchange(arguments: Namespace) -> Any:
    exchange = getattr(ccxt.pro, arguments.exchange)()
    exchange.has["fetchCurrencies"] = False
    api = exchange.urls["api"]
    if arguments.exchange == "kraken":
        api["public"] = arguments.rest
        api["ws"]["publicV2"] = f"{arguments.stream}/v2"
    else:
        api["rest"] = arguments.rest
        api["ws"] = f"{arguments.stream}/"
    return exchange


async def _watch(
    symbol: str, watch: Callable[[], Awaitable[Any]], show: Callable[[Any], None], lines: Lines
) -> None:
    while True:
        try:
            show(await watch())
        except (ccxt.BaseError, KeyError, TypeError) as error:
            lines.told(symbol, f"{type(error).__name__}: {error}"[:200])
            await asyncio.sleep(_PAUSE_S)


def _watched(
    exchange: Any, symbol: str, arguments: Namespace, lines: Lines
) -> list[tuple[Callable[[], Awaitable[Any]], Callable[[Any], None]]]:
    """The calls of a symbol, and what is done with their answers."""
    name = symbol.replace("-", "/")

    def trades(shown: Any) -> None:
        for trade in shown:
            lines.trade(symbol, trade["id"], trade["side"], trade["price"], trade["amount"])

    def book(shown: Any) -> None:
        lines.book(symbol, shown["timestamp"], shown["bids"][:LEVELS], shown["asks"][:LEVELS])

    def ticker(_shown: Any) -> None:
        lines.counts["quote"] += 1

    watched: list[tuple[Callable[[], Awaitable[Any]], Callable[[Any], None]]] = [
        (lambda: exchange.watch_trades(name), trades),
        (lambda: exchange.watch_order_book(name, LEVELS), book),
    ]
    if arguments.quotes:
        watched.append((lambda: exchange.watch_ticker(name), ticker))
    return watched


async def _run(arguments: Namespace, lines: Lines) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    exchange = _exchange(arguments)
    tasks = [
        asyncio.create_task(_watch(symbol, watch, show, lines))
        for symbol in arguments.symbols
        for watch, show in _watched(exchange, symbol, arguments, lines)
    ]
    waiting = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    lines.close()
    for task in done - {waiting}:
        task.result()  # none ends but by an error that is not ccxt's
    # Its own end waits for connections to a simulator that may be gone.
    os._exit(0)


def main() -> None:
    arguments = asked()
    asyncio.run(_run(arguments, Lines(arguments.lines)))


if __name__ == "__main__":
    main()
