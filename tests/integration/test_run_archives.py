"""Archives and pipes as the source of a run: what exchanges really gave out, and what users really pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isnan
from pathlib import Path

import pytest

from consumers.indicators.registry import indicator_set
from cryptostream.indicator_files.compute import rows_of_stream
from cryptostream.indicator_files.series import Joint, in_order, read_series
from tests.integration.run_command import Run, rows, runs_in
from tests.kline_files import archive, bars

HOUR_MS = 3_600_000
START_MS = 1_517_904_000_000
BESIDE_MS = 1_694_789
MEMORY = ("--speed", "0", "--broker", "memory", "--data-dir", "data")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    with runs_in(tmp_path) as start:
        yield start


def opens() -> list[int]:
    """40 hours, an outage of 20, 10 bars beside the grid, and 20 hours on it again."""
    on_grid = [START_MS + n * HOUR_MS for n in range(90)]
    return [*on_grid[:40], *(at + BESIDE_MS for at in on_grid[60:70]), *on_grid[70:]]


def of_early_2018() -> str:
    series = [bar._replace(open_time_ms=at) for bar, at in zip(bars(70), opens(), strict=True)]
    return archive(series, interval_ms=HOUR_MS)


def rsi_of(path: Path) -> Iterator[tuple[int, float | None]]:
    indicators = indicator_set()
    place = indicators.columns.index("momentum_rsi")
    for bar, values in rows_of_stream(indicators, read_series(in_order([path]), Joint())):
        yield bar.open_time_ms, None if isnan(values[place]) else values[place]


def test_an_archive_of_early_2018_is_no_loss(start: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "BTCUSDT-1h-2018-02.csv").write_text(of_early_2018())
    run = start("--source", "BTCUSDT-1h-2018-02.csv", "--intervals", "1h", *MEMORY)
    assert run.wait() == 0, run.said
    assert "note: BTCUSDT-1h-2018-02.csv: 10 bars open beside the grid of 1h" in run.said
    assert "nothing lost" in run.said
    database = tmp_path / "data" / "cryptostream.db"
    times = [
        row["time_ns"] // 1_000_000 for row in rows(database, "SELECT time_ns FROM kline ORDER BY time_ns")
    ]
    assert times == opens()
    # Computed over them in the order of the file, as `cryptostream indicators` does.
    computed = dict(rsi_of(tmp_path / "BTCUSDT-1h-2018-02.csv"))
    found = rows(database, "SELECT time_ns, momentum_rsi FROM indicator ORDER BY time_ns")
    assert {row["time_ns"] // 1_000_000: row["momentum_rsi"] for row in found} == computed
    # Of 90 hours, those of the outage had no bar; each bar beside the grid is stored as that of its hour.
    sums = ", ".join(f"sum({name}) AS {name}" for name in ("expected", "stored", "halted", "lost"))
    assert rows(database, f"SELECT {sums} FROM ledger") == [
        {"expected": 90, "stored": 70, "halted": 20, "lost": 0}
    ]


def test_a_recording_comes_through_a_pipe_and_an_empty_side_is_stored_as_none(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    frame = (
        '{{"stream":"币安人生usdt@bookTicker","receivedTime":{at},"data":{{"u":{number},"s":"币安人生USDT",'
        '"b":"{bid}","B":"{quantity}","a":"0.00000886","A":"3"}}}}\n'
    )
    lines = [
        frame.format(
            at=1_790_000_040_000 + number * 200,
            number=number,
            bid="0.00000885" if number < 50 else "0.00000000",
            quantity="5" if number < 50 else "0.00000000",
        )
        for number in range(1, 101)
    ]
    run = start("--source", "-", "--intervals", "1m", *MEMORY, given="".join(lines))
    assert run.wait() == 0, run.said
    database = tmp_path / "data" / "cryptostream.db"
    stored = rows(database, "SELECT bid_price, bid_quantity, ask_price FROM quote ORDER BY time_ns")
    sides = [(row["bid_price"], row["bid_quantity"], row["ask_price"]) for row in stored]
    assert sides == [(0.00000885, 5.0, 0.00000886)] * 49 + [(None, None, 0.00000886)] * 51
