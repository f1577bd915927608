"""`make bench`: producer path and consumer path on a real Kafka and a real InfluxDB, in one run.

The others run by name and have their own options: `make bench ARGS="indicators --help"`.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench import (
    commits,
    consumer_path,
    end_to_end,
    exchanges,
    indicators,
    ledger,
    limits,
    producer_path,
    producer_start,
    quix,
    report,
    restarts,
    scale,
    stages,
    store,
)
from bench.dashboard import main as dashboard
from bench.frames import INTERVALS
from bench.peers import main as peers
from bench.topics import create_topic
from cryptostream.engines.influxdb import InfluxServer
from cryptostream.engines.kafka import KafkaServer
from cryptostream.topics_admin import ensure_topics
from shared.arguments import Parser, whole
from shared.command import run_command

Round = dict[str, float]

_PATHS: Final = ("producer", "consumer", "klines")
_BY_NAME: Final[dict[str, Callable[[list[str]], int]]] = {
    "api": lambda more: dashboard.main(["api", *more]),
    "page": lambda more: dashboard.main(["page", *more]),
    "indicators": indicators.main,
    "ledger": ledger.main,
    "store": store.main,
    "commits": commits.main,
    "end-to-end": end_to_end.main,
    "producer-start": producer_start.main,
    "exchanges": exchanges.main,
    "peers": peers.main,
    "quix": quix.main,
    "restarts": restarts.main,
    "scale": scale.main,
    "stages": stages.main,
}


def main() -> int:
    if sys.argv[1:] and sys.argv[1] in _BY_NAME:
        return _BY_NAME[sys.argv[1]](sys.argv[2:])
    parser = Parser(prog="bench", description="Figures as ratios to the bare libraries.")
    parser.add_argument("parts", nargs="*", metavar="producer|consumer|klines", help="default: all")
    parser.add_argument("--messages", type=whole, default=100_000, help="messages a round (default 100,000)")
    parser.add_argument("--rounds", type=whole, default=5, help="rounds of each side, in turn (default 5)")
    asked = parser.parse_args()
    parts = asked.parts or list(_PATHS)
    unknown = set(parts) - set(_PATHS)
    if unknown:
        known = ", ".join((*_PATHS, *_BY_NAME))
        parser.error(f"{', '.join(sorted(unknown))}: no such benchmark; choose from {known}")
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="cryptostream-bench-") as directory:
        # A broker for each part: leftovers of one would load the other.
        with _broker(Path(directory) / "limits") as kafka:
            result["fitness"] = _fitness(kafka.bootstrap_servers)
        if "producer" in parts:
            with _broker(Path(directory) / "producer") as kafka:
                result["producer"] = _producer(kafka.bootstrap_servers, asked.messages, asked.rounds)
        for part, measure, count in (
            ("consumer", _consumer, asked.messages),
            # A bar with all indicators is thirty times the data of a trade.
            ("klines", _klines, asked.messages // 5),
        ):
            if part in parts:
                with (
                    _broker(Path(directory) / part) as kafka,
                    InfluxServer(Path(directory) / f"{part}-influx") as influx,
                ):
                    result[part] = measure(kafka.bootstrap_servers, influx, count, asked.rounds)
    print(f"written: {report.write('paths', result)}")
    return 0 if result["fitness"]["fit"] else 1


def _broker(directory: Path) -> KafkaServer:
    server = KafkaServer(directory)
    ensure_topics(server.bootstrap_servers, INTERVALS)
    return server


def _fitness(bootstrap_servers: str) -> dict[str, Any]:
    create_topic(bootstrap_servers, "bench.limits")
    rounds = [
        (
            limits.bare_in(bootstrap_servers, "bench.limits", 300_000),
            limits.bare_out(bootstrap_servers, "bench.limits", 200_000),
        )
        for _ in range(3)
    ]
    best_in, best_out = (max(values) for values in zip(*rounds, strict=True))
    fit = best_in >= limits.FIT * limits.KNOWN_IN and best_out >= limits.FIT * limits.KNOWN_OUT
    report.show(
        "The machine: bare Kafka, 200-byte values (messages/s)",
        ["", "here", "known", "share"],
        [
            ["in", f"{best_in:,.0f}", f"{limits.KNOWN_IN:,}", f"{best_in / limits.KNOWN_IN:.0%}"],
            ["out", f"{best_out:,.0f}", f"{limits.KNOWN_OUT:,}", f"{best_out / limits.KNOWN_OUT:.0%}"],
        ],
    )
    if not fit:
        print(f"VOID: the bare loops must reach {limits.FIT:.0%} of the known figures; the machine is busy.")
    return {"in": best_in, "out": best_out, "fit": fit}


def _producer(bootstrap_servers: str, count: int, rounds: int) -> dict[str, Any]:
    bare, ours = _in_turn(
        rounds,
        lambda number: producer_path.bare(bootstrap_servers, f"bench.producer.{number}", count),
        lambda _: producer_path.ours(bootstrap_servers, count),
    )
    return _table("Producer path: socket → parse → check → Kafka acknowledged", count, bare, ours)


def _consumer(bootstrap_servers: str, influx: InfluxServer, count: int, rounds: int) -> dict[str, Any]:
    consumer_path.prepare_trades(bootstrap_servers, count)
    return _beside(bootstrap_servers, influx, consumer_path.TRADE_PATH, count, rounds)


def _klines(bootstrap_servers: str, influx: InfluxServer, count: int, rounds: int) -> dict[str, Any]:
    consumer_path.prepare_klines(bootstrap_servers, count)
    return _beside(bootstrap_servers, influx, consumer_path.KLINE_PATH, count, rounds)


def _beside(
    bootstrap_servers: str, influx: InfluxServer, path: consumer_path.Path, count: int, rounds: int
) -> dict[str, Any]:
    bare, ours = _in_turn(
        rounds,
        lambda _: consumer_path.bare(bootstrap_servers, influx, path, count),
        lambda _: consumer_path.ours(bootstrap_servers, influx, path, count),
    )
    return _table(f"Consumer path, {path.title}: Kafka → points → InfluxDB acknowledged", count, bare, ours)


def _in_turn(
    rounds: int, one: Callable[[int], Round], other: Callable[[int], Round]
) -> tuple[list[Round], list[Round]]:
    # The first pair warms up the servers and is not counted.
    pairs = [(one(number), other(number)) for number in range(rounds + 1)][1:]
    return [first for first, _ in pairs], [second for _, second in pairs]


def _table(title: str, count: int, bare: list[Round], ours: list[Round]) -> dict[str, Any]:
    def values(rounds: list[Round], name: str) -> list[float]:
        return [result[name] for result in rounds]

    def median(rounds: list[Round], name: str) -> float:
        return statistics.median(values(rounds, name))

    ratio = median(ours, "messages_per_s") / median(bare, "messages_per_s")
    report.show(
        f"{title} ({count:,} messages, {len(bare)} rounds in turn, median and range)",
        ["", "messages/s", "of bare", "CPU µs/message", "resident MB"],
        [
            [
                "bare libraries",
                report.spread(values(bare, "messages_per_s")),
                "100%",
                f"{median(bare, 'cpu_us'):.1f}",
                "",
            ],
            [
                "CryptoStream",
                report.spread(values(ours, "messages_per_s")),
                f"{ratio:.0%}",
                f"{median(ours, 'cpu_us'):.1f}",
                f"{max(values(ours, 'resident_mb')):.0f}",
            ],
        ],
    )
    return {"bare": bare, "ours": ours, "ratio": ratio}


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    sys.exit(run_command(main))
