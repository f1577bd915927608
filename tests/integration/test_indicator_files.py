"""`cryptostream indicators` on recorded archives and on what `query` exports."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from math import isnan
from pathlib import Path

import pytest

from consumers.indicators.registry import indicator_set
from consumers.measurements import KLINE, Point, Series
from consumers.stores.sqlite import SqliteStore
from cryptostream import cli, data_dir
from tests.conftest import ROOT
from tests.kline_files import table
from tests.unit.consumers.indicators.series import SPOT_HOURS, SPOT_MINUTES, USDM_LTC_MINUTES, recorded


def indicators(*words: object) -> list[dict[str, str]]:
    out = io.TextIOWrapper(io.BytesIO(), write_through=True)
    with contextlib.redirect_stdout(out):
        assert cli.main(["indicators", *map(str, words)]) == 0
    out.seek(0)
    return table(out.read())


def test_seven_months_of_hours_in_ms_and_us_are_one_series(recordings: Path) -> None:
    # The newest first: the order of time is found, not taken over.
    rows = indicators(*sorted(recordings.glob(SPOT_HOURS), reverse=True))
    bars = recorded(recordings, SPOT_HOURS)
    assert [int(row["open_time_ms"]) for row in rows] == [bar.open_time_ms for bar in bars]
    assert len(rows) == 5_088
    reference = indicator_set()
    state = reference.initial()
    for row, bar in zip(rows, bars, strict=True):
        state, values = reference.step(state, bar)
        texts = list(row.values())[1:]
        assert all(
            text == "" if isnan(value) else float(text) == value
            for text, value in zip(texts, values, strict=True)
        )


def test_what_query_exports_gives_what_the_archive_gives(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STORE", "SQLITE_PATH", "INFLUX_URL", "EXCHANGE"):
        monkeypatch.delenv(name, raising=False)
    bars = recorded(recordings, SPOT_MINUTES)
    store = SqliteStore(tmp_path / data_dir.STORE_FILE, ticks_expiry_ns=None)
    series = Series(KLINE, ("binance", "BTCUSDT", "1m"))
    store.write([Point(series, bar.open_time_ms * 10**6, (*bar[1:6], 1.0, 1.0, 1.0, 1)) for bar in bars])
    store.close()
    (archive,) = recordings.glob(SPOT_MINUTES)
    expected = indicators(archive)
    for form in ("csv", "json"):
        path = tmp_path / f"export.{form}"
        with path.open("w") as out, contextlib.redirect_stdout(out):
            words = ["query", "klines", "BTCUSDT", "1m", "--format", form, "--data-dir", str(tmp_path)]
            assert cli.main(words) == 0
        assert indicators(path) == expected


# Prints the largest resident size of a run over its files, in bytes.
_PEAK = """
import resource, sys
from cryptostream import cli
assert cli.main(["indicators", *sys.argv[1:]]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_memory_does_not_grow_with_the_series(recordings: Path, tmp_path: Path) -> None:
    def peak_bytes(path: Path) -> int:
        words = [path, "--indicators", "momentum_rsi,trend_sma_fast", "--output", tmp_path / "out.csv"]
        run = subprocess.run(
            [sys.executable, "-c", _PEAK, *map(str, words)], cwd=ROOT, capture_output=True, check=True
        )
        return int(run.stdout)

    (minutes,) = recordings.glob(SPOT_MINUTES)
    (month,) = recordings.glob(USDM_LTC_MINUTES)
    # 28 times the bars; held in memory they would take 10 MB more.
    assert peak_bytes(month) < peak_bytes(minutes) + 3_000_000
