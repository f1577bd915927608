"""`make bench ARGS="api page"`: the figures of the page and its API, on real Kafka and real InfluxDB.

`api`: the tap beside a bare loop, what viewers cost, `GET /rows` beside the store's reader. `page`: Chromium
on the whole stack at some 2,400 messages a second. Each writes its own JSON.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench import report
from bench.dashboard import crowd, page, rows, tap, tap_stages
from bench.dashboard.stage import RATE, Stage
from chaos.servers import Servers
from cryptostream.engines.kafka import KafkaServer
from cryptostream.topics_admin import ensure_topics
from shared.arguments import Parser, finite, whole
from shared.interpreter import freeze_gc

_PARTS: Final = ("api", "page")
# The chart's window must be full at once.
_WARMUP_BARS: Final = 6_200
_VIEWERS: Final = (1, 50)
_DELAY_RATE: Final = 2_000.0


def main(arguments: list[str]) -> int:
    """Run it, print the tables, write the JSON."""
    parser = Parser(prog="bench", description="Figures of the page and its API.")
    parser.add_argument("parts", nargs="+", choices=_PARTS, metavar="api|page")
    parser.add_argument("--seconds", type=finite, default=30.0, help="of each steady state (default 30)")
    parser.add_argument("--rounds", type=whole, default=5, help="rounds of each side, in turn (default 5)")
    parser.add_argument(
        "--records", type=whole, default=100_000, help="on Kafka and stored (default 100,000)"
    )
    parser.add_argument(
        "--minutes",
        type=finite,
        default=3.0,
        help="that the page's memory is watched (default 3; 60: an hour)",
    )
    asked = parser.parse_args(arguments)
    if "page" in asked.parts and not page.built():
        parser.error("page: needs chromium (apt-get install chromium) and the built page (make web)")
    freeze_gc()  # as the service does
    with tempfile.TemporaryDirectory(prefix="cryptostream-bench-") as name:
        directory = Path(name)
        if "api" in asked.parts:
            result = _api(directory / "api", asked.records, asked.rounds, asked.seconds)
            _show_api(result)
            print(f"written: {report.write('dashboard_api', result)}")
        if "page" in asked.parts:
            result = _page(directory / "page", asked.seconds, asked.minutes)
            _show_page(result)
            print(f"written: {report.write('dashboard_page', result)}")
    return 0


def _api(directory: Path, records: int, rounds: int, seconds: float) -> dict[str, Any]:
    result: dict[str, Any] = {"stages_us": _stages(rounds)}
    kafka = KafkaServer(directory / "tap")
    try:
        ensure_topics(kafka.bootstrap_servers, ("1m",))
        tap.prepare(kafka.bootstrap_servers, records)
        # The first pair warms up and is not counted.
        pairs = [
            (tap.bare(kafka.bootstrap_servers, records), tap.ours(kafka.bootstrap_servers, records))
            for _ in range(rounds + 1)
        ][1:]
        result["tap"] = {"bare": [one for one, _ in pairs], "ours": [other for _, other in pairs]}
        result["delay_ms"] = tap.delay_ms(kafka.bootstrap_servers, _DELAY_RATE, seconds)
    finally:
        kafka.kill()
    with Servers.start(directory / "engines") as servers:
        result["rows_per_s"] = rows.measure(servers, directory / "rows", records, rounds)
        with Stage(servers, directory / "stage", rate=RATE, warmup_bars=100) as stage:
            result["viewers"] = crowd.measure(stage, _VIEWERS, seconds)
    return {**result, "load": os.getloadavg()[0]}


def _stages(rounds: int) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {}
    for size in tap_stages.BATCHES:
        measured = [tap_stages.measure(20_000, size) for _ in range(rounds)]
        found[str(size)] = {name: [one[name] for one in measured] for name in measured[0]}
    return found


def _page(directory: Path, seconds: float, minutes: float) -> dict[str, Any]:
    with (
        Servers.start(directory / "engines") as servers,
        Stage(servers, directory / "stage", rate=RATE, warmup_bars=_WARMUP_BARS) as stage,
        page.chromium() as browser,
    ):
        return {
            "script_bytes": page.script_bytes(),
            "loads_s": page.loads_s(browser, stage),
            "painted": page.painted_ms(browser, stage, seconds),
            "throttled": page.throttled(browser, stage, seconds),
            "update_ms": page.update_ms(browser, stage, seconds),
            "heap": page.heap(browser, stage, minutes),
            "load": os.getloadavg()[0],
        }


def _show_api(result: dict[str, Any]) -> None:
    report.show(
        f"Kafka → Hub.publish ({result['delay_ms']['p50']:.1f} ms after the acknowledgement)",
        ["", "records/s", "CPU µs a record"],
        [
            [
                name,
                report.spread([one["records_per_s"] for one in result["tap"][name]]),
                report.spread([one["cpu_us"] for one in result["tap"][name]], 1),
            ]
            for name in ("bare", "ours")
        ],
    )
    report.show(
        "Where a record's time goes, µs",
        ["stage", *(f"batches of {size}" for size in result["stages_us"])],
        [
            [name, *(f"{median(side[name]):.1f}" for side in result["stages_us"].values())]
            for name in next(iter(result["stages_us"].values()))
        ],
    )
    report.show(
        "Viewers",
        ["viewers", "cores", "frames/s each", "age p50, ms", "age p99, ms"],
        [
            [
                count,
                f"{seen['cores']:.2f}",
                f"{seen['frames_per_s']:.1f}",
                f"{seen['p50']:.0f}",
                f"{seen['p99']:.0f}",
            ]
            for count, seen in result["viewers"].items()
        ],
    )
    report.show(
        "GET /rows",
        ["", "rows/s"],
        [[name, report.spread(rates)] for name, rates in result["rows_per_s"].items()],
    )


def _show_page(result: dict[str, Any]) -> None:
    hops = result["painted"]["hops"]
    slow, update = result["throttled"], result["update_ms"]
    beside, alone = slow["others_beside"], slow["others_alone"]
    heap = result["heap"]["mb"]
    report.show(
        f"The page at {result['painted']['messages_per_s']:,.0f} messages/s, load {result['load']:.1f}",
        ["", "p50", "p99"],
        [
            *(
                [f"{name.replace('_', ' ')}, ms", f"{q['p50']:.0f}", f"{q['p99']:.0f}"]
                for name, q in hops.items()
            ),
            [
                f"at 1/{page.THROTTLED} of the CPU, ms",
                f"{slow['age']['p50']:.0f}",
                f"{slow['age']['p99']:.0f}",
            ],
            ["others beside it, ms", f"{beside['p50']:.0f}", f"{beside['p99']:.0f}"],
            ["others alone, ms", f"{alone['p50']:.0f}", f"{alone['p99']:.0f}"],
            [f"update of {update['bars']:,} bars, ms", f"{update['p50']:.1f}", f"{update['p99']:.1f}"],
        ],
    )
    print(
        f"stored, p50: {', '.join(f'{name} {ms:.0f} ms' for name, ms in result['painted']['stored'].items())}"
    )
    print(f"first candle: {report.spread(result['loads_s']['candle'], 2)} s")
    print(f"waiting for the slow tab, at most: {slow['held_bytes'] / 1e3:.0f} kB")
    print(f"JavaScript: {result['script_bytes'] / 1e3:.0f} kB; heap {heap[0]:.1f} → {heap[-1]:.1f} MB")
