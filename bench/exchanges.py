"""`make bench ARGS="exchanges"`: what each exchange costs the producer.

`path`: its producer path beside the bare loop, all three in the same run; `checksum`: Kraken's CRC a message;
`footprint`: three producers of four symbols each, how long they take to start and what they use.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench import producer_path, report, venue_footprint, venue_path
from bench.checksums import microseconds
from bench.frames import INTERVALS
from bench.rounds import say
from bench.venue_frames import kraken_snapshot, read
from cryptostream.engines.kafka import KafkaServer
from cryptostream.topics_admin import ensure_topics
from shared.arguments import Parser, finite, whole

Round = dict[str, float]

_PARTS: Final = ("path", "checksum", "footprint")
_VENUES: Final = ("kraken", "coinbase")


def main(arguments: list[str]) -> int:
    """Run it, print the tables, write the JSON."""
    parser = Parser(prog="bench", description="What each exchange costs the producer.")
    parser.add_argument("parts", nargs="*", metavar="path|checksum|footprint", help="default: all")
    parser.add_argument("--messages", type=whole, default=40_000, help="a round (default 40,000)")
    parser.add_argument("--rounds", type=whole, default=3, help="of each side, in turn (default 3)")
    parser.add_argument("--seconds", type=finite, default=60.0, help="of the steady state (default 60)")
    asked = parser.parse_args(arguments)
    parts = asked.parts or list(_PARTS)
    unknown = set(parts) - set(_PARTS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: no such part; choose from {', '.join(_PARTS)}")
    result: dict[str, Any] = {"load": [os.getloadavg()[0]]}
    with tempfile.TemporaryDirectory(prefix="cryptostream-bench-") as name:
        directory = Path(name)
        prepared = {
            exchange: venue_path.prepare(exchange, asked.messages, directory)
            for exchange in _VENUES
            if "path" in parts or (exchange == "kraken" and "checksum" in parts)
        }
        if "checksum" in parts:
            kraken = prepared["kraken"]
            frames = read(kraken.file)
            result["checksum_us"] = [
                microseconds(kraken_snapshot(kraken.start_ms), frames) for _ in range(asked.rounds)
            ]
        if "path" in parts:
            result["path"] = _paths(prepared, asked.messages, asked.rounds, directory / "path")
            result["load"].append(os.getloadavg()[0])
        if "footprint" in parts:
            with_broker = KafkaServer(directory / "footprint")
            try:
                ensure_topics(with_broker.bootstrap_servers, venue_footprint.INTERVALS)
                result["footprint"] = venue_footprint.measure(with_broker.bootstrap_servers, asked.seconds)
            finally:
                with_broker.kill()
    result["load"].append(os.getloadavg()[0])
    _show(result)
    print(f"written: {report.write('exchanges', result)}")
    return 0


def _paths(
    prepared: dict[str, venue_path.Prepared], messages: int, rounds: int, directory: Path
) -> dict[str, dict[str, list[Round]]]:
    """Rounds of both sides of all exchanges in turn; the first of each warms up and is not counted."""
    found: dict[str, dict[str, list[Round]]] = {
        exchange: {"bare": [], "ours": []} for exchange in ("binance", *prepared)
    }
    kafka, job = KafkaServer(directory), producer_path.Job(messages)
    servers = kafka.bootstrap_servers
    try:
        ensure_topics(servers, INTERVALS)
        for number in range(rounds + 1):
            say(f"exchanges: {f'round {number} of {rounds}' if number else 'warming up'}")
            sides: dict[str, dict[str, Round]] = {
                "binance": {
                    "bare": producer_path.bare(servers, f"bench.binance.{number}", job),
                    "ours": producer_path.ours(servers, job),
                }
            }
            for exchange, its_frames in prepared.items():
                sides[exchange] = {
                    "bare": venue_path.bare(its_frames, servers, f"bench.{number}"),
                    "ours": venue_path.ours(its_frames, servers),
                }
            if number:
                for exchange, both in sides.items():
                    for side, figures in both.items():
                        found[exchange][side].append(figures)
        return found
    finally:
        kafka.kill()


def shares(path: dict[str, dict[str, list[Round]]]) -> dict[str, float]:
    """By exchange, the CPU time of the bare loop's main thread as a share of the producer path's, by medians.

    Wall time would count what a side waits for, and the cores that its threads have. Results of old have the
    time of the process alone.
    """

    def cost(rounds: list[Round]) -> float:
        return median([one.get("thread_us", one["cpu_us"]) for one in rounds])

    return {exchange: cost(sides["bare"]) / cost(sides["ours"]) for exchange, sides in path.items()}


def _show(result: dict[str, Any]) -> None:
    path = result.get("path", {})
    if path:
        of_bare = shares(path)
        report.show(
            "Producer path of each exchange",
            ["", "messages/s", "of bare", "CPU µs/message"],
            [
                [
                    f"{exchange}, {side}",
                    report.spread([one["messages_per_s"] for one in rounds]),
                    f"{of_bare[exchange]:.0%}" if side == "ours" else "",
                    f"{median([one['cpu_us'] for one in rounds]):.1f}",
                ]
                for exchange, sides in path.items()
                for side, rounds in sides.items()
            ],
        )
    if "checksum_us" in result:
        print(f"Kraken's checksum: {report.spread(result['checksum_us'], 1)} µs a message of the book")
    if "footprint" in result:
        footprint = result["footprint"]
        report.show(
            "Three exchanges, four symbols each",
            ["", "messages/s", "cores", "resident MB", "of its own", "started after s"],
            [
                [
                    exchange,
                    f"{footprint['messages_per_s'][exchange]:.0f}",
                    f"{footprint['cores'][exchange]:.3f}",
                    f"{footprint['resident_mb'][exchange]:.0f}",
                    f"{footprint['own_mb'][exchange]:.0f}",
                    ", ".join(f"{seconds:.0f}" for seconds in footprint["started_s"][exchange].values()),
                ]
                for exchange in footprint["cores"]
            ],
        )
        print(f"together, their libraries once: {venue_footprint.together_mb(footprint):.0f} MB")
