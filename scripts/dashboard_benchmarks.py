"""The sections of docs/benchmarks.md on the page and its API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from bench.report import spread
from scripts.benchmark_tables import Result, Target, table, targets

# Grafana shows what is stored at its next refresh, which is half a period away at the median.
_REFRESH_MS = 1_000
_FORMATS = ("JSON", "CSV", "NDJSON")


def api_section(result: Result) -> Iterator[str]:
    """From Kafka to the hub, viewers, history."""
    yield from targets(_api_targets(result))
    yield ""
    yield "The bare loop polls, drains and decodes by orjson, and does nothing with what it has. The tap"
    yield "holds each record to its contract by the consumers' own enricher, steps sums and the open bar,"
    yield "keeps the ring and encodes for a viewer. Where the bare loop waits for a busy broker, the ratio of"
    yield f"rates flatters us; that by CPU does not. Load average of the machine: {result['load']:.1f}."
    yield ""
    yield from table(
        ("trades from Kafka", "records/s", "CPU µs a record"),
        [
            (
                whose,
                spread([one["records_per_s"] for one in result["tap"][key]]),
                spread([one["cpu_us"] for one in result["tap"][key]], 1),
            )
            for whose, key in (("bare loop", "bare"), ("to `Hub.publish`", "ours"))
        ],
    )
    yield ""
    stages = result["stages_us"]
    yield from table(
        ("stage alone, µs a record", *(f"batches of {int(size):,}" for size in stages)),
        [
            (name, *(f"{median(side[name]):.1f}" for side in stages.values()))
            for name in next(iter(stages.values()))
        ],
    )
    yield ""
    yield from table(
        ("viewers", "cores of the API", "frames/s each", "kB/s each", "age p50, ms", "age p99, ms"),
        [
            (
                count,
                f"{seen['cores']:.2f}",
                f"{seen['frames_per_s']:.1f}",
                f"{seen['kb_per_s']:.0f}",
                f"{seen['p50']:.0f}",
                f"{seen['p99']:.0f}",
            )
            for count, seen in result["viewers"].items()
        ],
    )
    yield ""
    yield from table(
        ("rows of bars", "rows/s"), [(name, spread(rates)) for name, rates in result["rows_per_s"].items()]
    )


def _api_targets(result: Result) -> list[Target]:
    rates = {key: median(one["records_per_s"] for one in result["tap"][key]) for key in ("bare", "ours")}
    cpu_us = {key: median(one["cpu_us"] for one in result["tap"][key]) for key in ("bare", "ours")}
    delay = result["delay_ms"]
    most = max(result["viewers"], key=int)
    viewers = result["viewers"][most]
    rows = {name: median(rates) for name, rates in result["rows_per_s"].items()}
    return [
        (
            "Kafka → `Hub.publish`: 70 % of a bare poll-and-decode loop",
            f"{rates['ours'] / rates['bare']:.0%} ({cpu_us['bare'] / cpu_us['ours']:.0%} by CPU)",
            rates["ours"] >= 0.7 * rates["bare"],
        ),
        (
            "… p50 after the producer's acknowledgement, at 2,000/s: 40 ms",
            f"{delay['p50']:.1f} ms (p99 {delay['p99']:.0f} ms)",
            delay["p50"] <= 40,
        ),
        (
            f"{most} clients × 20 frames/s: 0.2 cores",
            f"{viewers['cores']:.2f} cores, {viewers['frames_per_s']:.1f} frames/s each",
            viewers["cores"] <= 0.2,
        ),
        *(
            (
                f"`GET /rows` as {name}: 70 % of the Reader's rows/s",
                f"{rows[name] / rows['Reader']:.0%}",
                rows[name] >= 0.7 * rows["Reader"],
            )
            for name in _FORMATS
        ),
    ]


def page_section(result: Result) -> Iterator[str]:
    """Chromium on the whole stack."""
    yield from targets(_page_targets(result))
    yield ""
    rate = result["painted"]["messages_per_s"]
    yield f"{rate:,.0f} messages/s; engines, exchange, services and Chromium share the machine, with whatever"
    yield f"else ran on it: its load average was {result['load']:.1f}. Ages are the page's own, from its"
    yield "acknowledgements; p50 is the median of the medians of its newest 1,000 samples, p99 the worst."
    yield ""
    hops = result["painted"]["hops"]
    yield from table(
        ("hop, ms", "p50", "p99"),
        [(name.replace("_", " "), f"{q['p50']:.0f}", f"{q['p99']:.0f}") for name, q in hops.items()],
    )
    yield ""
    slow = result["throttled"]
    yield from table(
        ("a tab with a quarter of the CPU: age, ms", "p50", "p99"),
        [
            (name, f"{q['p50']:.0f}", f"{q['p99']:.0f}")
            for name, q in (
                ("that tab", slow["age"]),
                ("five other clients beside it", slow["others_beside"]),
                ("five other clients before", slow["others_alone"]),
            )
        ],
    )


def _page_targets(result: Result) -> list[Target]:
    pixel = result["painted"]["hops"]["exchange_to_pixel"]
    grafana_ms = median(result["painted"]["stored"].values()) + _REFRESH_MS / 2
    slow, update, heap = result["throttled"], result["update_ms"], result["heap"]
    others = slow["others_beside"]["p99"] / slow["others_alone"]["p99"] - 1
    grown = heap["mb"][-1] / heap["mb"][0] - 1
    return [
        _at_most("exchange → painted, p50", pixel["p50"], 100, "ms"),
        _at_most("exchange → painted, p99", pixel["p99"], 400, "ms"),
        (
            f"… 1/5 of Grafana's median age ({grafana_ms:,.0f} ms: stored and half of a 1 s refresh)",
            f"1/{grafana_ms / pixel['p50']:.1f}",
            5 * pixel["p50"] <= grafana_ms,
        ),
        _at_most("a tab throttled 4×: age p99", slow["age"]["p99"], 500, "ms"),
        _at_most("… what waits for it", slow["held_bytes"] / 1e6, 1, "MB", 2),
        ("… p99 of other clients: unchanged within 20 %", f"{others:+.0%}", others <= 0.2),
        _at_most("navigation → first candle", median(result["loads_s"]["candle"]), 1.5, "s", 2),
        _at_most("JavaScript, gzip", result["script_bytes"] / 1e3, 250, "kB"),
        _at_most(
            f"update of {update['bars']:,} bars × {update['series']} series, p50", update["p50"], 4, "ms", 1
        ),
        (
            f"heap after {heap['minutes']:.0f} min (of the hour that is the target): +10 %",
            _change(grown, heap["mb"]),
            grown <= 0.1,
        ),
    ]


def _at_most(what: str, figure: float, bound: float, unit: str, places: int = 0) -> Target:
    return f"{what}: {bound:g} {unit}", f"{figure:,.{places}f} {unit}", figure <= bound


def _change(share: float, sizes: Sequence[float]) -> str:
    return f"{share:+.0%} ({sizes[0]:.1f} → {sizes[-1]:.1f} MB)"
