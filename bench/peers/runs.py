"""Runs of all sides on the same market with the same faults, each on a simulator of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from bench.peers.comparison import Comparison, Span, compared
from bench.peers.scenarios import CLEAN_S
from bench.peers.truth import plain, truth
from bench.peers.venv import Peer
from bench.processes import running
from bench.simulators import NotListening, simulator
from cryptostream.run.source import get_json
from shared.kafka_reader import PartitionId, TopicReader
from shared.topics import BOOK, TRADES

OURS: Final = "CryptoStream"
SYMBOLS: Final = {"kraken": ("BTC/USD", "ETH/USD"), "coinbase": ("BTC-USD", "ETH-USD")}
SEED: Final = 11
# Coinbase's whole book is 5 MB with the usual far levels; these are enough to have some.
_FAR_LEVELS: Final = 1_000
# What was missed may still be repaired over REST, at the pace that the exchange allows.
_GRACE_S: Final = 25.0
# The last moments of a market are those of messages under way.
_ENDING_S: Final = 3
_SLACK_S: Final = 240.0
_STOP_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Market:
    """One market that each side gets for itself.

    Attributes:
        seconds: after which it is frozen.
        faults: as `--fault` takes them.
    """

    exchange: str
    start_ms: int
    seconds: int
    faults: Sequence[str]

    @property
    def symbols(self) -> tuple[str, ...]:
        return SYMBOLS[self.exchange]

    @property
    def span(self) -> Span:
        """What is compared."""
        return Span(self.start_ms + CLEAN_S * 1000, self.start_ms + (self.seconds - _ENDING_S) * 1000)

    @property
    def arguments(self) -> list[str]:
        """The simulator's, without its log."""
        arguments = ["--exchange", self.exchange, "--symbols", ",".join(self.symbols)]
        arguments += ["--seed", str(SEED), "--start", str(self.start_ms)]
        arguments += ["--hold", "--freeze-at", str(self.seconds)]
        if self.exchange == "coinbase":
            arguments += ["--far-levels", str(_FAR_LEVELS)]
        for fault in self.faults:
            arguments += ["--fault", fault]
        return arguments


def run(
    market: Market, peers: Sequence[Peer], python: Path, bootstrap_servers: str, directory: Path
) -> dict[str, Comparison]:
    """The comparison of each side; they run beside each other.

    Raises:
        NotListening: a side never subscribed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    names = [OURS, *(peer.title for peer in peers)]
    logs = {name: directory / f"{number}.log" for number, name in enumerate(names)}
    files = {name: directory / f"{number}.lines" for number, name in enumerate(names)}
    before = _ends(bootstrap_servers)
    # Stopped in the reverse order: the sides first, then the simulators.
    with ExitStack() as stack:
        urls = {
            name: stack.enter_context(
                simulator(market.arguments, logs[name].with_suffix(".out"), log=logs[name])
            )
            for name in names
        }
        _ours(stack, market, urls[OURS], bootstrap_servers, directory)
        for peer in peers:
            environment = {"XDG_CACHE_HOME": str(directory / "cache")}
            command = peer_command(peer, python, market.exchange, urls[peer.title], market.symbols)
            command += ["--lines", str(files[peer.title])]
            errors = stack.enter_context((directory / f"{peer.title}.err").open("wb"))
            # In a directory of its own: cryptofeed writes a log file where it stands.
            stack.enter_context(_ended(command, environment, stdout=subprocess.DEVNULL, stderr=errors))
        _await_frozen(urls, market.seconds)
        time.sleep(_GRACE_S)
    shown: dict[str, Iterable[Sequence[Any]]] = {peer.title: _lines(files[peer.title]) for peer in peers}
    shown[OURS] = _published(bootstrap_servers, before)
    comparisons = {}
    for name in names:
        its_truth = truth(
            market.exchange,
            market.symbols,
            seed=SEED,
            start_ms=market.start_ms,
            log=logs[name],
            span=market.span,
        )
        comparisons[name] = compared(shown[name], its_truth, market.span)
    return comparisons


@contextmanager
def _ended(command: Sequence[str], settings: Mapping[str, str], **options: Any) -> Iterator[None]:
    """A peer's process; what it was shown is on disk, so one that does not end by SIGTERM is killed."""
    process = subprocess.Popen(command, env={**os.environ, **settings}, **options)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def peer_command(peer: Peer, python: Path, exchange: str, rest_url: str, symbols: Sequence[str]) -> list[str]:
    """A peer's program at a simulator's address."""
    stream = rest_url.replace("http://", "ws://", 1)
    command = [str(python), "-m", peer.program, exchange, "--rest", rest_url, "--stream", stream]
    return [*command, "--symbols", ",".join(map(plain, symbols))]


def our_settings(exchange: str, rest_url: str, bootstrap_servers: str) -> dict[str, str]:
    """The environment of our producer at a simulator's address."""
    stream = rest_url.replace("http://", "ws://", 1)
    addresses = {
        "binance": {"BINANCE_REST_URL": rest_url, "BINANCE_WS_URL": stream},
        "kraken": {"KRAKEN_REST_URL": rest_url, "KRAKEN_WS_URL": stream},
        "coinbase": {
            "COINBASE_REST_URL": rest_url,
            "COINBASE_WS_URL": stream,
            "COINBASE_EXCHANGE_URL": rest_url,
        },
    }[exchange]
    return {
        **addresses,
        "EXCHANGE": exchange,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "LOG_LEVEL": "WARNING",
    }


def _ours(stack: ExitStack, market: Market, url: str, bootstrap_servers: str, directory: Path) -> None:
    # Start positions of its own: a run must not go on where the last one stood.
    start_positions = directory / "bearings.json"
    start_positions.write_bytes(b"{}")
    symbols = ",".join(market.symbols)
    # Every book is published, as the peers show every one.
    settings = {
        **our_settings(market.exchange, url, bootstrap_servers),
        "SYMBOLS": symbols,
        "BOOK_INTERVAL_MS": "0",
    }
    command = [sys.executable, "-m", "producers", "--symbols", symbols, "--intervals", "1s,1m"]
    command += ["--bearings", str(start_positions)]
    errors = stack.enter_context((directory / "ours.err").open("wb"))
    stack.enter_context(running(command, settings, stdout=errors, stderr=errors))


def _await_frozen(urls: Mapping[str, str], seconds: int) -> None:
    give_up = time.monotonic() + seconds + _SLACK_S
    left = dict(urls)
    while left:
        time.sleep(1.0)
        left = {name: url for name, url in left.items() if not _state(url).get("frozen_at_ms")}
        if left and time.monotonic() > give_up:
            raise NotListening(
                f"{', '.join(left)}: the market has not come to its end; was it subscribed to?"
            )


def _state(url: str) -> dict[str, Any]:
    state: dict[str, Any] = get_json(f"{url}/simulator/state", 10.0)
    return state


def _lines(path: Path) -> Iterator[Sequence[Any]]:
    with path.open("rb") as file:
        for line in file:
            # The last one may be cut short by the program's end.
            if line.endswith(b"\n"):
                yield orjson.loads(line)


def _ends(bootstrap_servers: str) -> dict[PartitionId, int]:
    with closing(TopicReader(bootstrap_servers)) as reader:
        return {
            partition: end for topic in (TRADES, BOOK) for partition, (_, end) in reader.bounds(topic).items()
        }


def _published(bootstrap_servers: str, before: Mapping[PartitionId, int]) -> list[Sequence[Any]]:
    """What our producer has published since, as lines."""
    lines: list[Sequence[Any]] = []
    with closing(TopicReader(bootstrap_servers)) as reader:
        for record in reader.to_end(before):
            message = orjson.loads(record.value() or b"")
            symbol = plain(message["symbol"])
            if record.topic() == TRADES:
                side = "sell" if message["buyer_is_maker"] else "buy"
                lines.append(
                    ("trade", symbol, str(message["trade_id"]), side, message["price"], message["quantity"])
                )
            elif message["synced"]:
                lines.append(
                    ("book", symbol, message["event_time_ms"], message["bids"][:10], message["asks"][:10])
                )
    return lines


def directory_of_runs() -> tempfile.TemporaryDirectory[str]:
    """Where logs and lines of runs lie, until they are compared."""
    return tempfile.TemporaryDirectory(prefix="cryptostream-peers-")
