"""Bars that an earlier run lost, and what a run on the memory broker makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from consumers.enrich.ledger import LedgerEnricher
from consumers.enrich.port import Known
from consumers.measurements import KLINE, LEDGER, Point, Series
from consumers.stores.sqlite import SqliteStore
from consumers.stores.sqlite_reader import SqliteReader
from cryptostream.run.start_positions import StartPositions, read_start_positions

MINUTE_MS = 60_000
START_MS = 1_700_000_040_000  # a whole minute
BAR = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1)
Counts = tuple[int, int, int]  # expected, stored, lost
BEFORE = range(-60, 0)


def begun_again(
    directory: Path, interval: str, step_ms: int, bars: Iterable[int], rows: Mapping[int, Counts]
) -> tuple[StartPositions, list[int], dict[int, Counts]]:
    """What a run reads from a store of these bars and ledger rows (by number of the minute): its positions,
    the bars that are missing to it, and the rows that it writes."""
    path = directory / "cryptostream.db"
    tags = ("binance", "BTCUSDC", interval)
    kline, ledger = Series(KLINE, tags), Series(LEDGER, ("binance", "BTCUSDC", "klines", interval))
    store = SqliteStore(path)
    store.write([Point(kline, (START_MS + bar * step_ms) * 1_000_000, BAR) for bar in bars])
    store.write(
        [
            Point(ledger, (START_MS + minute * MINUTE_MS) * 1_000_000, (expected, stored, 0, 0, lost, 0))
            for minute, (expected, stored, lost) in rows.items()
        ]
    )
    store.close()
    read = read_start_positions(SqliteReader(path), "binance", ["BTCUSDC"], [interval], START_MS)
    enricher = LedgerEnricher()
    enricher.assign(0, Known(0, 0))
    enricher.receive([(0, offset, event) for offset, event in enumerate(read.ledger)], 0)
    written = {
        (point.time_ns // 1_000_000 - START_MS) // MINUTE_MS: (
            int(point.values[0] or 0),
            int(point.values[1] or 0),
            int(point.values[4] or 0),
        )
        for point in enricher.finish().points
        if point.series.measurement is LEDGER
    }
    missing = read.missing.get(f"binance:BTCUSDC:klines:{interval}", [])
    return read, [(hole.first - START_MS) // step_ms for hole in missing], written


@pytest.mark.parametrize(
    ("bars", "rows", "missing", "written"),
    [
        pytest.param(
            [*BEFORE, *range(10, 31)],
            {0: (31, 21, 10)},
            range(10),
            (31, 21, 10),
            id="the first ones of the newest minute",
        ),
        pytest.param(
            [*BEFORE, *range(10, 20), *range(25, 31)],
            {0: (31, 16, 15)},
            [*range(10), *range(20, 25)],
            (31, 16, 15),
            id="some at its beginning and some between",
        ),
        pytest.param(
            [*BEFORE, *range(10, 41)],
            {0: (21, 11, 10)},
            range(10),
            (41, 31, 10),
            id="the row is older than the newest bar",
        ),
        pytest.param(
            range(10, 31), {0: (26, 21, 5)}, range(5, 10), (26, 21, 5), id="the series began in that minute"
        ),
        pytest.param(
            [*range(10, 20), *range(25, 31)],
            {0: (21, 16, 5)},
            range(20, 25),
            (21, 16, 5),
            id="the series began with its first stored bar",
        ),
        pytest.param(
            [*BEFORE, *range(10, 31)],
            {},
            range(10),
            (31, 21, 10),
            id="the run was killed before it wrote the row",
        ),
        pytest.param(range(10, 31), {}, [], (21, 21, 0), id="the series began there, and has no row"),
        pytest.param(
            [*BEFORE, *range(10, 31)], {0: (31, 21, 0)}, [], (21, 21, 0), id="the exchange was closed"
        ),
        pytest.param(
            [*BEFORE, *range(31)], {0: (35, 31, 4)}, [], (31, 31, 0), id="after the newest: asked for anyway"
        ),
    ],
)
def test_lost_bars_of_the_newest_minute_are_asked_for_or_stay_lost(
    tmp_path: Path, bars: list[int], rows: dict[int, Counts], missing: Iterable[int], written: Counts
) -> None:
    read, found, again = begun_again(tmp_path, "1s", 1_000, bars, rows)
    assert (found, again[0], read.unplaced) == (list(missing), written, [])


def test_a_minute_that_the_series_began_in_misses_none_before_its_beginning(tmp_path: Path) -> None:
    _, found, again = begun_again(tmp_path, "1s", 1_000, [*range(30, 40), *range(43, 70)], {0: (30, 27, 3)})
    assert (found, again[0]) == ([40, 41, 42], (30, 27, 3))


def test_a_bar_that_is_stored_and_incomplete_stays_lost_in_part(tmp_path: Path) -> None:
    read, found, again = begun_again(tmp_path, "1m", MINUTE_MS, range(5), {1: (1, 1, 1), 4: (1, 1, 1)})
    assert (found, again) == ([], {1: (1, 1, 1), 4: (1, 1, 1)})
    assert read.unplaced == []


def test_incomplete_bars_among_others_of_a_minute_are_said(tmp_path: Path) -> None:
    read, found, _ = begun_again(tmp_path, "1s", 1_000, range(90), {0: (60, 60, 2)})
    assert found == []
    assert len(read.unplaced) == 1
    assert read.unplaced[0].startswith("BTCUSDC klines 1s: 2 incomplete in the minute of ")


def test_a_bar_stored_after_its_row_was_written_is_not_incomplete(tmp_path: Path) -> None:
    read, found, again = begun_again(tmp_path, "1m", MINUTE_MS, range(2), {0: (1, 0, 1)})
    assert (found, again[0], read.unplaced) == ([], (1, 1, 0), [])
