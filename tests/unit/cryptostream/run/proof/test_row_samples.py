"""A store that is not the same at the end of a run is not vouched for."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumers.stores.port import Row
from consumers.stores.sqlite import SqliteStore
from consumers.stores.sqlite_reader import SqliteReader
from cryptostream.run.proof.row_samples import RowSamples, fault_of
from tests.store_contract import BASE_NS, DAY_NS, bar, trade

SECOND_NS = 10**9


def row(symbol: str, time_ns: int, interval: str | None = None) -> Row:
    tags = {"exchange": "binance", "symbol": symbol} | ({"interval": interval} if interval else {})
    return {"time_ns": time_ns, **tags, "close": 1.0}


def test_few_rows_of_a_series_are_kept_the_first_among_them_and_spread() -> None:
    samples = RowSamples()
    for second in range(100_000):
        samples.receive("trade", row("A", BASE_NS + second * SECOND_NS))
    seconds = [(seen.time_ns - BASE_NS) // SECOND_NS for seen in samples.all()]
    assert seconds[0] == 0
    assert 2 <= len(seconds) <= 4
    assert seconds[-1] > 25_000


def test_only_what_stays_is_looked_for() -> None:
    samples = RowSamples()
    for measurement in ("kline_live", "quote", "book"):
        samples.receive(measurement, row("A", BASE_NS))
    assert samples.all() == []
    samples.receive("trade", row("A", BASE_NS))
    samples.receive("kline", row("A", BASE_NS, "1s"))
    samples.receive("kline", row("A", BASE_NS, "1m"))
    assert len(samples.all()) == 3
    samples.receive("kline", row("A", BASE_NS + 7 * DAY_NS, "1m"))
    assert [seen.tags[-1] for seen in samples.all()] == ["1m", "1m"], "second data may have expired"


def test_memory_and_the_look_at_the_end_are_bounded() -> None:
    samples = RowSamples()
    for number in range(1_000):
        samples.receive("trade", row(f"S{number}", BASE_NS))
    assert len(samples.all()) == 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def stored(path: Path, first: int, last: int) -> None:
    store = SqliteStore(path, synchronous="normal")
    store.write([point for n in range(first, last) for point in (trade("A", n), bar("A", "1m", n))])
    store.close()


def seen(path: Path) -> RowSamples:
    samples = RowSamples()
    for measurement in ("trade", "kline"):
        for found in SqliteReader(path).read(measurement, {}):
            samples.receive(measurement, found)
    return samples


def test_a_store_that_goes_on_has_what_was_seen(path: Path) -> None:
    stored(path, 0, 100)
    samples = seen(path)
    stored(path, 100, 200)
    assert samples.missing_from(SqliteReader(path)) == []
    assert fault_of([], len(samples.all())) is None


@pytest.mark.parametrize("restored", [0, 1])
def test_a_store_begun_anew_or_restored_from_a_backup_is_found_out(path: Path, restored: int) -> None:
    stored(path, 0, 100)
    samples = seen(path)
    path.unlink()
    stored(path, 0 if restored else 100, restored)
    stored(path, 100, 200)
    gone = samples.missing_from(SqliteReader(path))
    assert len(gone) == len(samples.all()) - 2 * restored > 0
    fault = fault_of(gone, len(samples.all()))
    assert fault is not None
    assert fault.startswith(f"the store no longer has {len(gone)} of {len(samples.all())} rows")
