"""cryptofeed as its documentation says: a FeedHandler, a feed of an exchange, a callback for each channel.

Only the addresses are others, by a subclass; and the file of symbols, which it keeps in XDG_CACHE_HOME.
"""

from __future__ import annotations

import logging
from argparse import Namespace
from datetime import datetime
from typing import Any

from cryptofeed import FeedHandler
from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint
from cryptofeed.defines import L2_BOOK, TICKER, TRADES
from cryptofeed.exchanges import Coinbase, Kraken

from bench.peers.clients.lines import LEVELS, Lines, asked

logging.getLogger("feedhandler").setLevel(logging.CRITICAL)
logging.getLogger("cryptofeed").setLevel(logging.CRITICAL)
# Needed by version 2.5 to subscribe at all; the simulator asks for none.
CONFIG = {"coinbase": {"key_id": "none", "key_secret": "none"}, "log": {"disabled": True}}


class Pointed:
    """A feed at the simulator's address, which is not encrypted: its connections insist on wss://."""

    def connect(self) -> Any:
        made = super().connect()  # type: ignore[misc]
        for connection, *_ in made:
            connection.address = connection.address.replace("wss://", "ws://", 1)
        return made


def _pointed(arguments: Namespace) -> type[Any]:
    """The feed of an exchange; but for the addresses the class is the peer's own."""
    stream = arguments.stream.replace("ws://", "wss://", 1)
    if arguments.exchange == "kraken":
        base, socket = Kraken, WebsocketEndpoint(f"{stream}/v2", limit=20)
        rest = RestEndpoint(arguments.rest, routes=Routes("/0/public/AssetPairs"))
    else:
        base, socket = Coinbase, WebsocketEndpoint(f"{stream}/", options={"compression": None})
        rest = RestEndpoint(f"{arguments.rest}/api/v3/brokerage", routes=Routes("/market/products"))
    return type(base.__name__, (Pointed, base), {"websocket_endpoints": [socket], "rest_endpoints": [rest]})


def _time_ms(book: Any) -> int | None:
    """The exchange's time of a book, if it has one; version 2.5 leaves that of an update a datetime."""
    time = book.timestamp
    if isinstance(time, datetime):
        time = time.timestamp()
    return None if time is None else round(time * 1000)


def _callbacks(arguments: Namespace, lines: Lines) -> dict[str, Any]:
    if arguments.kafka:
        from cryptofeed.backends.kafka import BookKafka, TickerKafka, TradeKafka

        options = {"bootstrap_servers": arguments.kafka, "acks": "all"}
        made = {TRADES: TradeKafka(**options), L2_BOOK: BookKafka(**options)}
        return made | ({TICKER: TickerKafka(**options)} if arguments.quotes else {})

    async def trade(shown: Any, _received: float) -> None:
        lines.trade(shown.symbol, shown.id, shown.side, shown.price, shown.amount)

    async def book(shown: Any, _received: float) -> None:
        if not lines.wanted:
            lines.book(shown.symbol, None, (), ())
            return
        sides = [
            [side.index(place) for place in range(min(LEVELS, len(side)))]
            for side in (shown.book.bids, shown.book.asks)
        ]
        lines.book(shown.symbol, _time_ms(shown), *sides)

    async def ticker(_shown: Any, _received: float) -> None:
        lines.counts["quote"] += 1

    return {TRADES: trade, L2_BOOK: book} | ({TICKER: ticker} if arguments.quotes else {})


def main() -> None:
    arguments = asked()
    lines = Lines(arguments.lines)
    handler = FeedHandler(config=CONFIG)
    callbacks = _callbacks(arguments, lines)
    # Kraken's book of the depth that ours has; Coinbase sends the whole one whatever is asked for.
    depth = {"max_depth": LEVELS} if arguments.exchange == "kraken" else {}
    feed = _pointed(arguments)(
        symbols=arguments.symbols, channels=list(callbacks), callbacks=callbacks, config=CONFIG, **depth
    )
    handler.add_feed(feed)
    try:
        handler.run()
    finally:
        lines.close()


if __name__ == "__main__":
    main()
