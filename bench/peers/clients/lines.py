"""What a peer's user was shown, as JSON lines; the standard library alone, for the peers' own Python.

`["trade", symbol, id, side, price, quantity]`, `["book", symbol, time_ms, bids, asks]` (the best ten of each
side, pairs of texts), `["told", symbol, text]` (an error that reached the user). Symbols are like BTC-USD.
"""

from __future__ import annotations

import json
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LEVELS = 10


class Lines:
    """Writes lines, or only counts what would have been written.

    Args:
        path: None: they are counted only.

    Attributes:
        counts: by kind.
    """

    def __init__(self, path: Path | None) -> None:
        self.counts: Counter[str] = Counter()
        self._file = None if path is None else path.open("w", buffering=1, encoding="utf-8")

    @property
    def wanted(self) -> bool:
        """Whether contents are needed, or the count alone."""
        return self._file is not None

    def trade(self, symbol: str, trade_id: object, side: object, price: object, quantity: object) -> None:
        self._write("trade", symbol, str(trade_id), str(side).lower(), str(price), str(quantity))

    def book(self, symbol: str, time_ms: int | None, bids: Iterable[Any], asks: Iterable[Any]) -> None:
        if not self.wanted:
            self.counts["book"] += 1
            return
        texts = ([[str(level[0]), str(level[1])] for level in side] for side in (bids, asks))
        self._write("book", symbol, time_ms, *texts)

    def told(self, symbol: str, text: str) -> None:
        self._write("told", symbol, text)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        print(json.dumps({"counts": self.counts}), flush=True)

    def _write(self, kind: str, *values: Any) -> None:
        self.counts[kind] += 1
        if self._file is not None:
            self._file.write(json.dumps([kind, *values]) + "\n")


def asked() -> Namespace:
    """Arguments of a peer's program; SIGTERM raises KeyboardInterrupt, which both peers end by."""
    parser = ArgumentParser()
    parser.add_argument("exchange", choices=("kraken", "coinbase"))
    parser.add_argument("--rest", required=True)
    parser.add_argument("--stream", required=True)
    parser.add_argument("--symbols", required=True, help="like BTC-USD,ETH-USD")
    parser.add_argument("--lines", type=Path, help="file to write; without it they are counted")
    parser.add_argument("--quotes", action="store_true", help="the ticker too")
    parser.add_argument("--kafka", help="brokers to publish to by the peer's own writer")
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    arguments = parser.parse_args()
    arguments.symbols = arguments.symbols.split(",")
    print(json.dumps({"python": sys.version.split()[0]}), flush=True)
    return arguments
