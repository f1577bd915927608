"""cryptofeed as documented: Binance's trades, book, ticker and candles to Kafka by its own writer.

`python -m bench.peers.clients.cryptofeed_binance REST_URL STREAM_URL BROKERS SYMBOL`, like BTC-USDT.
"""

from __future__ import annotations

import sys
from typing import Any

from cryptofeed import FeedHandler
from cryptofeed.backends.kafka import BookKafka, CandlesKafka, TickerKafka, TradeKafka
from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint
from cryptofeed.defines import CANDLES, L2_BOOK, TICKER, TRADES
from cryptofeed.exchanges import Binance

from bench.peers.clients.cryptofeed_client import CONFIG, Pointed


def main() -> None:
    rest, stream, brokers, symbol = sys.argv[1:]
    endpoints: dict[str, Any] = {
        "websocket_endpoints": [
            WebsocketEndpoint(stream.replace("ws://", "wss://", 1), options={"compression": None})
        ],
        "rest_endpoints": [
            RestEndpoint(
                rest, routes=Routes("/api/v3/exchangeInfo", l2book="/api/v3/depth?symbol={}&limit={}")
            )
        ],
    }
    feed = type("Binance", (Pointed, Binance), endpoints)
    # It waits for the answer to each record of a channel: to gather records, or to compress them, would only
    # cost it time.
    writer = {"bootstrap_servers": brokers, "acks": "all"}
    callbacks = {
        TRADES: TradeKafka(**writer),
        # Changes alone, as ours: by default the whole book too, after each thousandth.
        L2_BOOK: BookKafka(snapshot_interval=sys.maxsize, **writer),
        TICKER: TickerKafka(**writer),
        CANDLES: CandlesKafka(**writer),
    }
    handler = FeedHandler(config=CONFIG)
    handler.add_feed(
        feed(
            symbols=[symbol],
            channels=list(callbacks),
            callbacks=callbacks,
            candle_interval="1m",
            candle_closed_only=False,
            config=CONFIG,
        )
    )
    handler.run()


if __name__ == "__main__":
    main()
