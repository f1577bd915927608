"""`make bench ARGS="peers"`: cryptofeed and ccxt beside ours on the same simulated Kraken and Coinbase.

`books`: the same market and the same faults, each side on a simulator of its own, beside what the simulator's
log and world say; `speed`: the messages that each takes by its CPU time. A JSON for each. The peers' packages
are installed into an environment of their own when they are first needed (`bench/peers/lock.txt`); it wants
Python 3.12 or newer.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from bench import report
from bench.peers.runs import OURS, SYMBOLS, Market, run
from bench.peers.scenarios import scenarios
from bench.peers.speed import speed_of, speed_to_kafka
from bench.peers.venv import PEERS, Peer, PeersUnavailable, peers_python
from bench.venue_path import ours, prepare
from cryptostream.engines.kafka import KafkaServer
from cryptostream.topics_admin import ensure_topics
from shared.arguments import Parser, whole

_PARTS: Final = ("books", "speed")
_INTERVALS: Final = ("1s", "1m")


def main(arguments: list[str]) -> int:
    """Run it, print the tables, write the JSON."""
    parser = Parser(prog="bench", description="cryptofeed and ccxt beside ours, with the same faults.")
    parser.add_argument("parts", nargs="*", metavar="books|speed", help="default: both")
    parser.add_argument("--seconds", type=whole, default=60, help="of each market (default 60)")
    parser.add_argument("--messages", type=whole, default=40_000, help="a round (default 40,000)")
    parser.add_argument("--rounds", type=whole, default=3, help="of each side, in turn (default 3)")
    parser.add_argument("--exchanges", default=",".join(SYMBOLS), help="default: %(default)s")
    parser.add_argument("--only", default="", help="scenarios, like none,skip (default: all)")
    parser.add_argument("--python", help="of the peers' environment, 3.12 or newer (default: found)")
    asked = parser.parse_args(arguments)
    unknown = set(asked.parts) - set(_PARTS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: no such part; choose from {', '.join(_PARTS)}")
    try:
        python = peers_python(asked.python)
    except PeersUnavailable as why:
        print(f"peers: {why}")
        return 1
    exchanges, only = asked.exchanges.split(","), set(filter(None, asked.only.split(",")))
    parts = asked.parts or list(_PARTS)
    with tempfile.TemporaryDirectory(prefix="cryptostream-peers-") as name:
        directory = Path(name)
        if "books" in parts:
            found = {
                exchange: _comparisons(exchange, asked.seconds, only, python, directory / exchange)
                for exchange in exchanges
            }
            _written("peers_books", {"seconds": asked.seconds, "comparisons": found})
        if "speed" in parts:
            speed = {
                exchange: _speeds(
                    exchange, asked.messages, asked.rounds, python, directory / f"{exchange}-speed"
                )
                for exchange in exchanges
            }
            _written("peers_speed", {"speed": speed})
    return 0


def _written(name: str, result: dict[str, Any]) -> None:
    """Show a result and write it, with who was there and how busy the machine was."""
    _show(result)
    peers = {
        peer.title: {"options": peer.options, "licence": peer.licence, "why_not": peer.why_not}
        for peer in PEERS
    }
    # Of the last quarter of an hour, as long as a part takes.
    load = list(os.getloadavg())
    print(f"written: {report.write(name, {**result, 'peers': peers, 'load': load})}")


def _able(exchange: str) -> list[Peer]:
    return [peer for peer in PEERS if exchange in peer.exchanges]


def _comparisons(
    exchange: str, seconds: int, only: set[str], python: Path, directory: Path
) -> dict[str, Any]:
    kafka = KafkaServer(directory / "kafka")
    try:
        ensure_topics(kafka.bootstrap_servers, _INTERVALS)
        found: dict[str, Any] = {}
        for name, faults in scenarios(exchange).items():
            if only and name not in only:
                continue
            market = Market(exchange, time.time_ns() // 1_000_000, seconds, faults)
            comparisons = run(market, _able(exchange), python, kafka.bootstrap_servers, directory / name)
            found[name] = {
                "faults": list(faults),
                "sides": {side: comparison.json() for side, comparison in comparisons.items()},
            }
        return found
    finally:
        kafka.kill()


def _speeds(exchange: str, messages: int, rounds: int, python: Path, directory: Path) -> dict[str, Any]:
    directory.mkdir(parents=True)
    prepared = prepare(exchange, messages, directory)
    found: dict[str, list[dict[str, float]]] = {}
    kafka = KafkaServer(directory / "kafka")
    try:
        ensure_topics(kafka.bootstrap_servers, _INTERVALS)
        for _ in range(rounds):
            found.setdefault(f"{OURS}, to Kafka", []).append(_ours(prepared, kafka))
            for peer in _able(exchange):
                found.setdefault(peer.title, []).append(speed_of(peer, python, prepared))
                if peer.program.endswith("cryptofeed_client"):
                    figures = speed_to_kafka(peer, python, prepared, kafka.bootstrap_servers)
                    found.setdefault(f"{peer.title}, to Kafka", []).append(figures)
        return found
    finally:
        kafka.kill()


def _ours(prepared: Any, kafka: KafkaServer) -> dict[str, float]:
    figures = ours(prepared, kafka.bootstrap_servers)
    return {**figures, "messages_per_cpu_s": 1e6 / figures["cpu_us"]}


def _show(result: dict[str, Any]) -> None:
    for exchange, found in result.get("comparisons", {}).items():
        report.show(
            f"{exchange}: what each side's user was shown, {result['seconds']} s a market",
            ["faults", "side", "trades", "missing", "twice", "wrong side", "books", "wrong", "right of due"],
            [
                [name, side, *_cells(comparison)]
                for name, scenario in found.items()
                for side, comparison in scenario["sides"].items()
            ],
        )
    for exchange, found in result.get("speed", {}).items():
        report.show(
            f"{exchange}: messages by a second of CPU",
            ["", "messages/CPU s", "messages/s"],
            [
                [
                    side,
                    report.spread([one["messages_per_cpu_s"] for one in rounds]),
                    report.spread([one["messages_per_s"] for one in rounds]),
                ]
                for side, rounds in found.items()
            ],
        )


def _cells(comparison: dict[str, Any]) -> list[str]:
    trades, books = comparison["trades"], comparison["books"]
    counts = [trades["due"], trades["missing"], trades["repeated"], trades["wrong_side"]]
    counts += [books["shown"], books["wrong"]]
    return [*(f"{count:,}" for count in counts), f"{books['right'] / max(1, books['due']):.0%}"]
