"""What three exchanges cost side by side, and how long their symbols take to start.

A simulator and a real producer process for each exchange, four symbols each, on one broker. The simulators
run about as fast as was recorded: Kraken 138 messages a second of ten pairs, Coinbase 34 of two products,
Binance 153 of one busy symbol. Coinbase's books have as many levels as the two recorded ones in the mean.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from bench.peers.runs import our_settings
from bench.processes import cpu_s, own_bytes, page, resident_bytes, running
from bench.simulators import NotListening, simulator
from cryptostream.processes.server import free_port
from shared.kafka_reader import TopicReader
from shared.topics import BOOK, METRICS, TRADES, klines_topic

SYMBOLS: Final = {
    "binance": ("BTCUSDC", "ETHUSDC", "SOLUSDC", "XRPUSDC"),
    "kraken": ("BTC/USD", "ETH/USD", "XRP/USD", "SOL/USD"),
    "coinbase": ("BTC-USD", "ETH-USD", "XRP-USD", "SOL-USD"),
}
# Of the simulator, so that as many messages come as were recorded.
PACE: Final = {
    "binance": ("--speed", "1", "--rate", "4"),
    "kraken": ("--speed", "1", "--rate", "4"),
    "coinbase": ("--speed", "2", "--rate", "2", "--far-levels", "17300"),
}
INTERVALS: Final = ("1s", "1m", "15m", "1h", "1d")
_STARTED_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class _Running:
    process: subprocess.Popen[bytes]
    port: int
    began_s: float


def measure(bootstrap_servers: str, seconds: float) -> dict[str, Any]:
    """Start all, note when each symbol has started, then what they use for `seconds`.

    Raises:
        NotListening: a simulator or a producer did not come up, or a symbol did not start.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cryptostream-bench-")))
        urls = {
            exchange: stack.enter_context(simulator(_arguments(exchange), directory / f"{exchange}.out"))
            for exchange in SYMBOLS
        }
        reader = stack.enter_context(closing(TopicReader(bootstrap_servers)))
        starts = {
            partition: end
            for topic in (TRADES, BOOK, METRICS, klines_topic("1s"))
            for partition, (_, end) in reader.bounds(topic).items()
        }
        producers = {
            exchange: _producer(stack, exchange, url, bootstrap_servers) for exchange, url in urls.items()
        }
        started = Started({name: producer.began_s for name, producer in producers.items()})
        for record in reader.to_end(starts):
            started.take(record.topic() or "", record.value() or b"", time.monotonic())
        give_up = time.monotonic() + _STARTED_S
        while not started.all:
            if time.monotonic() > give_up:
                raise NotListening(f"not started after {_STARTED_S:.0f} s: {started.missing}")
            for record in reader.more():
                started.take(record.topic() or "", record.value() or b"", time.monotonic())
        before = {name: cpu_s(producer.process) for name, producer in producers.items()}
        count = {name: _messages(producer.port) for name, producer in producers.items()}
        began = time.monotonic()
        time.sleep(seconds)
        took_s = time.monotonic() - began
        return {
            "cores": {
                name: (cpu_s(producer.process) - before[name]) / took_s
                for name, producer in producers.items()
            },
            "resident_mb": {
                name: resident_bytes(producer.process) / 1e6 for name, producer in producers.items()
            },
            "own_mb": {name: own_bytes(producer.process) / 1e6 for name, producer in producers.items()},
            "messages_per_s": {
                name: (_messages(producer.port) - count[name]) / took_s
                for name, producer in producers.items()
            },
            "started_s": started.seconds,
            "paces": {name: " ".join(pace) for name, pace in PACE.items()},
        }


def together_mb(footprint: Mapping[str, Any]) -> float:
    """What all of them take: what each has for itself, and once the libraries that they share."""
    own, resident = footprint["own_mb"], footprint["resident_mb"]
    return float(sum(own.values()) + max(resident[name] - own[name] for name in own))


class Started:
    """When each symbol has had a trade, a book in step and a closed bar of a second. Pure.

    Args:
        began_s: by exchange, when its producer was started.
    """

    def __init__(self, began_s: Mapping[str, float]) -> None:
        self._began_s = began_s
        self._seen: dict[tuple[str, str], dict[str, float]] = {
            (exchange, symbol): {} for exchange in began_s for symbol in SYMBOLS[exchange]
        }

    def take(self, topic: str, value: bytes, now_s: float) -> None:
        """A record of `market.trades`, `market.book` or `market.klines.1s`."""
        if topic not in (TRADES, BOOK, klines_topic("1s")):
            return
        message = orjson.loads(value)
        if topic == BOOK and not message["synced"]:
            return
        seen = self._seen.get((message["exchange"], message["symbol"]))
        if seen is not None:
            seen.setdefault(topic, now_s - self._began_s[message["exchange"]])

    @property
    def all(self) -> bool:
        return not self.missing

    @property
    def missing(self) -> list[str]:
        """What has not been seen yet."""
        return [
            f"{exchange}:{symbol} {topic}"
            for (exchange, symbol), seen in self._seen.items()
            for topic in (TRADES, BOOK, klines_topic("1s"))
            if topic not in seen
        ]

    @property
    def seconds(self) -> dict[str, dict[str, float]]:
        """By exchange and symbol, seconds from the producer's start until it had everything."""
        found: dict[str, dict[str, float]] = {}
        for (exchange, symbol), seen in self._seen.items():
            found.setdefault(exchange, {})[symbol] = max(seen.values())
        return found


def _producer(stack: ExitStack, exchange: str, url: str, bootstrap_servers: str) -> _Running:
    port = free_port()
    symbols = ",".join(SYMBOLS[exchange])
    settings = {
        **our_settings(exchange, url, bootstrap_servers),
        "SYMBOLS": symbols,
        "INTERVALS": ",".join(INTERVALS),
        "METRICS_PORT": str(port),
    }
    began_s = time.monotonic()
    process = stack.enter_context(running([sys.executable, "-m", "producers"], settings))
    return _Running(process, port, began_s)


def _arguments(exchange: str) -> list[str]:
    return ["--exchange", exchange, "--symbols", ",".join(SYMBOLS[exchange]), *PACE[exchange]]


def _messages(port: int) -> float:
    """Frames that a producer has read so far, by its metrics page."""
    text = page(port, "metrics") or ""
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith("cryptostream_messages") and not line.startswith("#")
    )
