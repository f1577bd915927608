"""End to end: an exchange's events through real Kafka and real InfluxDB, at the rate of a live market.

`make bench ARGS=end-to-end`. The simulator is the exchange; all processes are separate, as in production.
First the steady states at about 2,000 and 10,000 messages a second: the age of an event when InfluxDB
acknowledges it, and the cost of our processes. Then the consumers are stopped until a backlog of a million
messages, and catch up; `--backlog 0` leaves that out.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import orjson
import psutil

from bench import report
from bench.rounds import say
from chaos.market import Market
from chaos.servers import Servers
from chaos.stack import DATA_CONSUMERS, EXCHANGE, LEDGER, PRODUCER, Stack, StackOptions
from cryptostream.run.topic_tail import TopicTail
from shared.arguments import Parser, finite, whole
from shared.topics import METRICS

_WARM_S: Final = 20.0
# Of the simulator's trades: more than 2,000, and than 10,000, messages a second; how many differs by market.
_RATE: Final = 500.0
_BUSY_RATE: Final = 1_950.0
_CAUGHT_UP: Final = 2_000  # records that are always on their way at this rate
_OURS: Final = (PRODUCER, *DATA_CONSUMERS, LEDGER)


def main(arguments: list[str]) -> int:
    """Run it, print the tables, write the JSON."""
    parser = Parser(prog="bench end-to-end")
    parser.add_argument("--seconds", type=finite, default=40.0, help="of each steady state (default 40)")
    parser.add_argument("--rate", type=finite, default=_RATE, help="multiplies the simulator's trades")
    parser.add_argument("--busy-rate", type=finite, default=_BUSY_RATE, help="the same of the second state")
    parser.add_argument("--backlog", type=whole, default=1_000_000, help="messages (default 1,000,000)")
    parser.add_argument("--backlog-speed", type=finite, default=6.0, help="of the market that piles them up")
    asked = parser.parse_args(arguments)
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="cryptostream-bench-") as name:
        directory = Path(name)
        with Servers.start(directory / "engines") as servers:
            for state, rate in (("steady", asked.rate), ("busy", asked.busy_rate)):
                say(f"end to end, {state}: {_WARM_S + asked.seconds:.0f} s")
                result[state] = _steady(servers, rate, asked.seconds, directory / state)
            if asked.backlog:
                say(f"end to end: a backlog of {asked.backlog:,} messages")
                result["backlog"] = _backlog(
                    servers, asked.rate, asked.backlog, asked.backlog_speed, directory / "backlog"
                )
    _show(result)
    print(f"written: {report.write('end_to_end', result)}")
    return 0


class Reports:
    """What the services report on `pipeline.metrics`, from now on.

    Attributes:
        newest: by service.
        latencies: (stream, hop) → p50 and p99 of the last 10 s, once a second.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self._tail = TopicTail(bootstrap_servers, (METRICS,), "cryptostream.bench", from_beginning=False)
        self.newest: dict[str, dict[str, Any]] = {}
        self.latencies: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)

    def poll(self, timeout_s: float) -> None:
        for _, value in self._tail.poll(timeout_s):
            report = orjson.loads(value)
            self.newest[report["service"]] = report
            for hop in report["freshness"]:
                self.latencies[hop["stream"], hop["hop"]].append((hop["p50"], hop["p99"]))

    def lag(self) -> int:
        """Unread records of the data consumers."""
        return sum(
            report["lag_messages"]
            for service, report in self.newest.items()
            if service.startswith("consumer-") and service != "consumer-ledger"
        )

    def close(self) -> None:
        self._tail.close()


def _steady(servers: Servers, rate: float, seconds: float, directory: Path) -> dict[str, Any]:
    market = Market(time.time_ns() // 1_000_000, rate=rate)
    servers.fresh(market.intervals)
    stack = Stack(servers, market, StackOptions(1.0), directory, print)
    reports = Reports(servers.kafka.bootstrap_servers)
    try:
        stack.start()
        _for(_WARM_S, stack, reports)
        reports.latencies.clear()
        before, cpu, began_s = dict(reports.newest), _cpu(stack), time.monotonic()
        _for(seconds, stack, reports)
        took_s = time.monotonic() - began_s
        used = {name: (after - cpu[name]) / took_s for name, after in _cpu(stack).items()}
        messages = reports.newest[PRODUCER]["messages"] - before[PRODUCER]["messages"]
        return {
            "messages_per_s": messages / took_s,
            "cores": {name: used[name] for name in _OURS},
            # A whole core: the simulated exchange was what was measured.
            "exchange_cores": used[EXCHANGE],
            "latencies_ms": {
                f"{stream} {hop}": {
                    # Of the quantiles of 10 s: median of p50, worst p99.
                    "p50": sorted(p50 for p50, _ in quantiles)[len(quantiles) // 2],
                    "p99": max(p99 for _, p99 in quantiles),
                }
                for (stream, hop), quantiles in sorted(reports.latencies.items())
            },
            "lag_messages": reports.lag(),
            "resident_mb": {
                name: psutil.Process(pid).memory_info().rss / 1e6
                for name, pid in stack.processes.pids().items()
                if name in _OURS
            },
        }
    finally:
        stack.stop_services()
        stack.stop()
        reports.close()


def _backlog(servers: Servers, rate: float, count: int, speed: float, directory: Path) -> dict[str, Any]:
    """Pile up messages while the consumers are stopped, then measure how fast they catch up."""
    market = Market(time.time_ns() // 1_000_000, rate=rate)
    servers.fresh(market.intervals)
    stack = Stack(servers, market, StackOptions(speed), directory, print)
    reports = Reports(servers.kafka.bootstrap_servers)
    try:
        stack.start()
        _for(_WARM_S, stack, reports)
        stack.stop_processes(DATA_CONSUMERS)
        first = reports.newest[PRODUCER]["messages"]
        began_s = time.monotonic()
        while reports.newest[PRODUCER]["messages"] - first < count:
            _for(1.0, stack, reports)
        piled_s = time.monotonic() - began_s
        stack.freeze()
        stack.stop_processes((PRODUCER,))
        piled = reports.newest[PRODUCER]["messages"] - first
        reports.newest = {PRODUCER: reports.newest[PRODUCER]}
        began_s = time.monotonic()
        stack.start_consumers()
        seen = 0
        while not (seen > _CAUGHT_UP and _caught_up(reports)):
            _for(0.2, stack, reports)
            seen = max(seen, reports.lag())
        return {
            "messages": piled,
            "piled_up_per_s": piled / piled_s,
            "caught_up_per_s": piled / (time.monotonic() - began_s),
        }
    finally:
        stack.stop_services()
        stack.stop()
        reports.close()


def _caught_up(reports: Reports) -> bool:
    consumers = [
        name for name in reports.newest if name.startswith("consumer-") and name != "consumer-ledger"
    ]
    return len(consumers) >= 6 and reports.lag() < _CAUGHT_UP


def _for(seconds: float, stack: Stack, reports: Reports) -> None:
    until_s = time.monotonic() + seconds
    while (now_s := time.monotonic()) < until_s:
        stack.processes.tick(now_s)
        reports.poll(0.1)


def _cpu(stack: Stack) -> dict[str, float]:
    """CPU seconds of each of our processes, and of the exchange, so far."""
    pids = stack.processes.pids()
    return {name: sum(psutil.Process(pids[name]).cpu_times()[:2]) for name in (*_OURS, EXCHANGE)}


def _show(result: dict[str, Any]) -> None:
    for name in ("steady", "busy"):
        _show_steady(result[name])
    for name, figure in result.get("backlog", {}).items():
        print(f"backlog, {name.replace('_', ' ')}: {figure:,.0f}")


def _show_steady(steady: dict[str, Any]) -> None:
    report.show(
        f"Steady state, {steady['messages_per_s']:,.0f} messages/s: age of an event, ms",
        ["stream, hop", "p50", "worst p99 of 10 s"],
        [
            [name, f"{quantiles['p50']:,.0f}", f"{quantiles['p99']:,.0f}"]
            for name, quantiles in steady["latencies_ms"].items()
        ],
    )
    print(f"the simulated exchange: {steady['exchange_cores']:.2f} cores")
    cores = steady["cores"]
    report.show(
        "Cores used",
        ["process", "cores", "resident MB"],
        [
            *([name, f"{used:.2f}", f"{steady['resident_mb'][name]:.0f}"] for name, used in cores.items()),
            ["together", f"{sum(cores.values()):.2f}", f"{sum(steady['resident_mb'].values()):.0f}"],
        ],
    )
