"""Tables and JSON of results, with machine and date."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import orjson
from confluent_kafka import libversion
from rich.console import Console
from rich.table import Table

from cryptostream.engines.fetch import INFLUXD_VERSION, KAFKA_VERSION

RESULTS: Final = Path(__file__).parent / "results"
_LIBRARIES: Final = ("confluent-kafka", "websockets", "uvloop", "orjson", "urllib3", "isal")
# As the process starts, and so before what it measures.
_LOAD_BEFORE: Final = os.getloadavg()[0]
_HEADINGS: Final = {
    "thread_us": "CPU µs, main thread",
    "cpu_us": "CPU µs, process",
    "resident_mb": "resident MB",
}


def machine() -> dict[str, Any]:
    """Machine and its load, versions, date and commit of a measurement."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit.stdout.strip(),
        "load": [round(_LOAD_BEFORE, 1), round(os.getloadavg()[0], 1)],
        "versions": versions(),
        "command": "make bench" + (f' ARGS="{" ".join(sys.argv[1:])}"' if sys.argv[1:] else ""),
    }


def versions() -> dict[str, str]:
    """Of the engines, and of the libraries that are installed."""
    found = {"Apache Kafka": KAFKA_VERSION, "InfluxDB": INFLUXD_VERSION, "librdkafka": str(libversion()[0])}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def spread(values: Sequence[float], places: int = 0) -> str:
    """Median with the range of the rounds."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{places}f} ({low:,.{places}f}–{high:,.{places}f})"


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def show_rounds(
    title: str, sides: Mapping[str, Sequence[Mapping[str, float]]], rate: str, figures: Sequence[str]
) -> None:
    """The rounds of all sides: rate and further figures, each with its range."""
    rows = [
        [
            side,
            spread([one["messages_per_s"] for one in rounds]),
            *(
                spread([one[figure] for one in rounds], 1) if all(figure in one for one in rounds) else ""
                for figure in figures
            ),
        ]
        for side, rounds in sides.items()
    ]
    number = len(next(iter(sides.values())))
    show(
        f"{title} ({number} rounds in turn, median and range)",
        ["", rate, *(_HEADINGS[figure] for figure in figures)],
        rows,
    )


def write(name: str, result: dict[str, Any]) -> Path:
    """One JSON file a benchmark, overwritten by its next run."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_bytes(orjson.dumps({"machine": machine(), **result}, option=orjson.OPT_INDENT_2))
    return path
