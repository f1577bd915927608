"""Writes docs/benchmarks.md from the results of `make bench` in bench/results.

    python -m scripts.make_benchmarks

A benchmark without results keeps the section that it had. Each target is beside its figure, reached or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Final

import orjson

from bench.report import RESULTS, spread
from bench.scale import COLUMNS, cells
from scripts.benchmark_tables import Result, table, targets
from scripts.dashboard_benchmarks import api_section, page_section
from scripts.exchange_benchmarks import exchanges_section, peers_books_section, peers_speed_section
from scripts.path_benchmarks import (
    before_section,
    cryptofeed_section,
    end_to_end_section,
    peers_made_by_others,
    producer_section,
    quix_section,
    symbols_section,
    trades_section,
)

PAGE: Final = Path(__file__).parents[1] / "docs" / "benchmarks.md"

# `ta` on 500 bars, on the machine of the targets in µs.
TA_US: Final = 67_000.0

_HEAD: Final = """\
# Benchmarks

Written by `python -m scripts.make_benchmarks` from the results of `make bench`. Sides of a comparison run in
turn in the same run; figures are medians of the rounds, with their range. Ratios can be compared between
machines, absolute figures cannot. Every command also prints its table and writes JSON to `bench/results`,
with the machine, its load and the versions of libraries and engines. `make bench` runs the parts of
`bench/parts.py` in at most 25 minutes; each runs alone by its name.

Sides are compared by the CPU time a message of what does the work, measured alike on both: of the main thread
for producers, of the whole process for consumers and beside peers. Rates stand beside it.
"""


def _indicators(result: Result) -> Iterator[str]:
    times = {name: median(values) for name, values in result["us"].items()}
    own = times["all, closed bar, 300 series"]
    again = times["ta, all columns of 500 bars again"]
    talipp = (
        times["talipp, the usual six, closed bar, 1 series"] / times["the usual six, closed bar, 1 series"]
    )
    memory_kb = result["memory_kb"]["a series"]
    pace = TA_US / again
    yield f"The targets in µs belong to a machine on which `ta` took {TA_US / 1e3:.0f} ms for 500 bars."
    yield f"Here it took {again / 1e3:.0f} ms: they are scaled to that pace, {pace:.2f} of what was measured."
    yield ""
    asked = (
        ("all columns, closed bar, 300 series in turn: 45 µs", own, 45),
        ("all columns, open bar: 15 µs", times["all, open bar, 300 series"], 15),
        ("their line: 12 µs", times["all, line protocol"], 12),
        ("the usual six: 5 µs", times["the usual six, closed bar, 300 series"], 5),
    )
    yield from table(
        ("target", "measured", "at that pace", "reached"),
        [
            (name, f"{us:.1f} µs", f"{us * pace:.1f} µs", "yes" if us * pace <= bound else "**no**")
            for name, us, bound in asked
        ],
    )
    yield ""
    yield from targets(
        [
            ("1,000 times faster than `ta` again", f"{again / own:,.0f} times", again >= 1_000 * own),
            ("2 times faster than talipp", f"{talipp:.1f} times", talipp >= 2),
            ("memory of a series: 64 kB", f"{memory_kb:.1f} kB", memory_kb <= 64),
        ]
    )
    yield ""
    yield from table(("", "µs"), [(name, spread(values, 1)) for name, values in result["us"].items()])
    yield ""
    yield from table(("memory", "kB"), [(name, f"{kb:,.1f}") for name, kb in result["memory_kb"].items()])


def _stages(result: Result) -> Iterator[str]:
    yield "A bare loop decodes and encodes. Ours translates each message to the contract's names, holds every"
    yield "field to its rule, steps the sequences, the book and the ledger. Frames are cut out faster"
    yield "than by the library; the rest is the cost of the checks and guarantees."
    yield ""
    rows = [(name, spread(values, 1)) for name, values in result["us"].items()]
    yield from table(("stage alone, no socket and no broker", "µs a message"), rows)


def _store(result: Result) -> Iterator[str]:
    rates = {name: median(values) for name, values in result["points_per_s"].items()}
    limit = max(rates["lines made before"], rates["… and compressed"])
    ours = rates["CryptoStream"]
    single = rates["Point, synchronous, a request each"]
    yield from targets(
        [
            ("80 % of posting lines made before", f"{ours / limit:.0%}", ours >= 0.8 * limit),
            ("10 times `Point` + synchronous API", f"{ours / single:,.0f} times", ours >= 10 * single),
        ]
    )
    yield ""
    rows = [(name, spread(values)) for name, values in result["points_per_s"].items()]
    yield from table(("", "points/s"), rows)


def _commits(result: Result) -> Iterator[str]:
    yield "What `SQLITE_SYNCHRONOUS=full` costs: a commit of so many points, in ms, on this disk."
    yield ""
    rows = []
    for size, sides in result["commit_ms"].items():
        more = median(sides["full"]) - median(sides["normal"])
        figures = [spread(sides[side], 1) for side in ("normal", "full")]
        rows.append((f"{int(size):,}", *figures, f"{more:+.1f}"))
    yield from table(("points", "normal", "full", "full costs"), rows)


def _scale(result: Result) -> Iterator[str]:
    runs = result["runs"]
    yield f"Each further symbol: {result['mb_per_symbol'] * 1e3:.0f} kB resident, "
    yield f"{result['cpu_us_per_bar_and_symbol']:+.4f} µs a bar."
    yield "Five intervals, all indicators, one consumer."
    yield ""
    yield from table(COLUMNS, [cells(run) for run in runs])
    for title, key in (("CPU, µs a bar", "cpu_us"), ("Resident, MB", "resident_mb")):
        yield ""
        yield "```mermaid"
        yield "xychart-beta"
        yield f'    title "{title}, by symbols"'
        yield "    x-axis [" + ", ".join(str(run["symbols"]) for run in runs) + "]"
        yield f'    y-axis "{title}" 0 --> {max(run[key] for run in runs) * 1.2:.0f}'
        yield "    line [" + ", ".join(f"{run[key]:.1f}" for run in runs) + "]"
        yield "```"


_SECTIONS: Final[tuple[tuple[str, str, Callable[[Result], Iterator[str]]], ...]] = (
    ("indicators", "Indicators", _indicators),
    ("producer", "Producer path", producer_section),
    ("cryptofeed", "Beside cryptofeed", cryptofeed_section),
    ("symbols", "Symbols of one producer", symbols_section),
    ("trades", "Trades, beside the bare loop and Telegraf", trades_section),
    ("quix", "Beside Quix Streams", quix_section),
    ("before", "Bars with all indicators, beside the code before", before_section),
    ("end_to_end", "End to end", end_to_end_section),
    ("stages", "Where a message's time goes in the producer", _stages),
    ("store", "InfluxDB writer", _store),
    ("commits", "SQLite's commits", _commits),
    ("scale", "Many symbols", _scale),
    ("exchanges", "What each exchange costs", exchanges_section),
    ("peers_books", "Beside cryptofeed and ccxt: what is shown", peers_books_section),
    ("peers_speed", "Beside cryptofeed and ccxt: how fast", peers_speed_section),
    ("dashboard_api", "Dashboard: the API", api_section),
    ("dashboard_page", "Dashboard: the page", page_section),
)


# Sections that are no longer written stay until the benchmark that came in their place has been run.
_SUCCESSORS: Final = {"Producer and consumer path": "producer"}


def page(results: Path, former: str = "") -> str:
    """The page of these results.

    Args:
        former: the page so far, whose sections stay where there are no results.
    """
    kept = dict(part.split("\n", 1) for part in former.split("\n## ")[1:])
    lines = [_HEAD]
    for name, title, section in _SECTIONS:
        path = results / f"{name}.json"
        if path.is_file():
            result = orjson.loads(path.read_bytes())
            lines += [f"## {title}\n", _how(result["machine"]), *section(result), ""]
        elif title in kept:
            lines += [f"## {title}", kept[title].rstrip("\n"), ""]
        for old, successor in _SUCCESSORS.items():
            if successor == name and old in kept and not path.is_file():
                lines += [f"## {old}", kept[old].rstrip("\n"), ""]
    lines += ["## Peers\n", *peers_made_by_others(), ""]
    return "\n".join(lines)


def _how(machine: Result) -> str:
    return (
        f"`{machine['command']}`, {machine['date']}, commit {machine['commit']}, {machine['cores']} vCPU "
        f"{machine['cpu']}, Python {machine['python']}{_load(machine)}.\n"
    )


def _load(machine: Result) -> str:
    """The load average before the benchmark and after it; results of old have none."""
    return ", load {} before and {} after".format(*machine["load"]) if "load" in machine else ""


def main() -> None:
    PAGE.write_text(page(RESULTS, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
