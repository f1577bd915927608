"""End to end: an exchange's events on real Kafka and real InfluxDB, at the pace of a live market.

`make bench ARGS=end-to-end`. The simulator is the exchange, everything runs as processes of its own, as in
production. First the steady state at about 2,000 messages a second: how old an event is when InfluxDB has
acknowledged it, and what our processes cost. Then the consumers are switched off until a million messages
wait, and catch up.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import psutil
from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from bench import report
from cryptostream.chaos.engines import Engines
from cryptostream.chaos.market import Market
from cryptostream.chaos.stack import DATA_CONSUMERS, LEDGER, PRODUCER, Stack, StackOptions
from shared.arguments import Parser, finite, whole
from shared.kafka import consumer_config
from shared.topics import METRICS

_WARM_S: Final = 20.0
_STOP_S: Final = 15.0
_READY_S: Final = 60.0
_CAUGHT_UP: Final = 2_000  # records: what is always on its way at this pace
_OURS: Final = (PRODUCER, *DATA_CONSUMERS, LEDGER)


def main(arguments: list[str]) -> int:
    """Run it, print the tables, write the JSON."""
    parser = Parser(prog="bench end-to-end")
    parser.add_argument("--seconds", type=finite, default=60.0, help="of the steady state (default 60)")
    parser.add_argument("--rate", type=finite, default=220.0, help="multiplies the simulator's trades")
    parser.add_argument("--backlog", type=whole, default=1_000_000, help="messages (default 1,000,000)")
    parser.add_argument("--backlog-speed", type=finite, default=6.0, help="of the market that piles them up")
    asked = parser.parse_args(arguments)
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="cryptostream-bench-") as name:
        directory = Path(name)
        with Engines.start(directory / "engines") as engines:
            result["steady"] = _steady(engines, asked.rate, asked.seconds, directory / "steady")
            if asked.backlog:
                result["backlog"] = _backlog(
                    engines, asked.rate, asked.backlog, asked.backlog_speed, directory / "backlog"
                )
    _show(result)
    print(f"written: {report.write('end_to_end', result)}")
    return 0


class Said:
    """What the services say of themselves on `pipeline.metrics`, from now on.

    Attributes:
        newest: by service.
        latencies: (stream, hop) → p50 and p99 of the last 10 s, once a second.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        config = consumer_config(bootstrap_servers, "cryptostream.bench", "bench")
        self._consumer = Consumer(config)
        partitions = self._consumer.list_topics(METRICS, timeout=10).topics[METRICS].partitions
        self._consumer.assign([TopicPartition(METRICS, number, OFFSET_END) for number in partitions])
        self.newest: dict[str, dict[str, Any]] = {}
        self.latencies: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)

    def poll(self, timeout_s: float) -> None:
        for record in self._consumer.consume(1_000, timeout_s):
            value = record.value()
            if record.error() is not None or value is None:
                continue
            said = orjson.loads(value)
            self.newest[said["service"]] = said
            for hop in said["freshness"]:
                self.latencies[hop["stream"], hop["hop"]].append((hop["p50"], hop["p99"]))

    def lag(self) -> int:
        """Records that the data consumers have not read yet."""
        return sum(
            said["lag_messages"]
            for service, said in self.newest.items()
            if service.startswith("consumer-") and service != "consumer-ledger"
        )

    def close(self) -> None:
        self._consumer.close()


def _steady(engines: Engines, rate: float, seconds: float, directory: Path) -> dict[str, Any]:
    market = Market(time.time_ns() // 1_000_000, rate=rate)
    engines.fresh(market.intervals)
    stack = Stack(engines, market, StackOptions(1.0), directory, print)
    said = Said(engines.kafka.bootstrap_servers)
    try:
        stack.start()
        _for(_WARM_S, stack, said)
        said.latencies.clear()
        before, cpu, began_s = dict(said.newest), _cpu(stack), time.monotonic()
        _for(seconds, stack, said)
        took_s = time.monotonic() - began_s
        used = {name: (after - cpu[name]) / took_s for name, after in _cpu(stack).items()}
        messages = said.newest[PRODUCER]["messages"] - before[PRODUCER]["messages"]
        return {
            "messages_per_s": messages / took_s,
            "cores": used,
            "latencies_ms": {
                f"{stream} {hop}": {
                    # Of the quantiles of 10 s: the median of the p50, and the worst p99.
                    "p50": sorted(p50 for p50, _ in quantiles)[len(quantiles) // 2],
                    "p99": max(p99 for _, p99 in quantiles),
                }
                for (stream, hop), quantiles in sorted(said.latencies.items())
            },
            "lag_messages": said.lag(),
            "resident_mb": {
                name: psutil.Process(pid).memory_info().rss / 1e6
                for name, pid in stack.processes.pids().items()
                if name in _OURS
            },
        }
    finally:
        stack.stop_services()
        stack.stop()
        said.close()


def _backlog(engines: Engines, rate: float, count: int, speed: float, directory: Path) -> dict[str, Any]:
    """Pile up messages with the consumers switched off, then see how fast they are read."""
    market = Market(time.time_ns() // 1_000_000, rate=rate)
    engines.fresh(market.intervals)
    stack = Stack(engines, market, StackOptions(speed), directory, print)
    said = Said(engines.kafka.bootstrap_servers)
    try:
        stack.start()
        _for(_WARM_S, stack, said)
        stack.processes.stop(DATA_CONSUMERS, _STOP_S)
        first = said.newest[PRODUCER]["messages"]
        began_s = time.monotonic()
        while said.newest[PRODUCER]["messages"] - first < count:
            _for(1.0, stack, said)
        piled_s = time.monotonic() - began_s
        stack.freeze()
        stack.processes.stop((PRODUCER,), _STOP_S)
        piled = said.newest[PRODUCER]["messages"] - first
        said.newest = {PRODUCER: said.newest[PRODUCER]}
        began_s = time.monotonic()
        stack.start_consumers()
        seen = 0
        while not (seen > _CAUGHT_UP and _caught_up(said)):
            _for(0.2, stack, said)
            seen = max(seen, said.lag())
        return {
            "messages": piled,
            "piled_up_per_s": piled / piled_s,
            "caught_up_per_s": piled / (time.monotonic() - began_s),
        }
    finally:
        stack.stop_services()
        stack.stop()
        said.close()


def _caught_up(said: Said) -> bool:
    reports = [name for name in said.newest if name.startswith("consumer-") and name != "consumer-ledger"]
    return len(reports) >= 6 and said.lag() < _CAUGHT_UP


def _for(seconds: float, stack: Stack, said: Said) -> None:
    until_s = time.monotonic() + seconds
    while (now_s := time.monotonic()) < until_s:
        stack.processes.tick(now_s)
        said.poll(0.1)


def _cpu(stack: Stack) -> dict[str, float]:
    """CPU seconds of each of our processes so far."""
    pids = stack.processes.pids()
    return {name: sum(psutil.Process(pids[name]).cpu_times()[:2]) for name in _OURS}


def _show(result: dict[str, Any]) -> None:
    steady = result["steady"]
    report.show(
        f"Steady state, {steady['messages_per_s']:,.0f} messages/s: age of an event, ms",
        ["stream, hop", "p50", "worst p99 of 10 s"],
        [
            [name, f"{quantiles['p50']:,.0f}", f"{quantiles['p99']:,.0f}"]
            for name, quantiles in steady["latencies_ms"].items()
        ],
    )
    cores = steady["cores"]
    report.show(
        "Cores used",
        ["process", "cores", "resident MB"],
        [
            *([name, f"{used:.2f}", f"{steady['resident_mb'][name]:.0f}"] for name, used in cores.items()),
            ["together", f"{sum(cores.values()):.2f}", f"{sum(steady['resident_mb'].values()):.0f}"],
        ],
    )
    for name, figure in _rows(result.get("backlog", {})):
        print(f"{name}: {figure:,.0f}")


def _rows(figures: dict[str, float]) -> Iterator[tuple[str, float]]:
    yield from ((f"backlog, {name.replace('_', ' ')}", figure) for name, figure in figures.items())
