"""`cryptostream indicators` as users call it."""

from __future__ import annotations

import io
import sys
from math import isnan
from pathlib import Path

import pytest

from consumers.indicators.registry import ALL_COLUMNS, indicator_set
from cryptostream import cli
from cryptostream.indicator_files.compute import rows_of_stream
from tests.kline_files import archive, bars, export, table, write

SERIES = bars(120)
FEW = "momentum_rsi,trend_sma_fast(5)"


class Asked:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: object) -> tuple[int, str, str]:
        code = cli.main(["indicators", *map(str, words)])
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Asked:
    monkeypatch.setenv("INDICATORS", "momentum_ao")  # which is for the services, not for this command
    return Asked(capsys)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "BTCUSDC-1m-2026-08-03.csv", archive(SERIES))


def test_one_row_a_bar_its_time_first_then_all_columns(ask: Asked, file: Path) -> None:
    code, out, err = ask(file)
    assert (code, err) == (0, "")
    rows = table(out)
    assert list(rows[0]) == ["open_time_ms", *ALL_COLUMNS]
    assert [int(row["open_time_ms"]) for row in rows] == [bar.open_time_ms for bar in SERIES]
    indicators = indicator_set()
    for row, (_, values) in zip(rows, rows_of_stream(indicators, SERIES), strict=True):
        for column, value in zip(indicators.columns, values, strict=True):
            assert row[column] == "" if isnan(value) else float(row[column]) == value


def test_chosen_indicators_with_parameters(ask: Asked, file: Path) -> None:
    code, out, _ = ask(file, "--indicators", FEW)
    rows = table(out)
    assert code == 0
    assert list(rows[0]) == ["open_time_ms", "momentum_rsi", "trend_sma_fast_5"]
    assert float(rows[4]["trend_sma_fast_5"]) == pytest.approx(sum(bar.close for bar in SERIES[:5]) / 5)


def test_a_series_in_three_files_is_that_of_one(ask: Asked, file: Path, tmp_path: Path) -> None:
    parts = (
        write(tmp_path / "z.zip", archive(SERIES[:50], header=True)),
        write(tmp_path / "y.csv", export(SERIES[50:90])),
        write(tmp_path / "x.csv.gz", archive(SERIES[90:], factor=1000)),
    )
    assert ask(*parts, "--indicators", FEW) == ask(file, "--indicators", FEW)


def test_a_hole_is_a_note_and_no_failure(ask: Asked, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", archive(SERIES[:10] + SERIES[12:]))
    code, out, err = ask(path, "--indicators", FEW)
    assert (code, len(table(out))) == (0, 118)
    assert err.startswith("note: 2 bars are missing in 1 hole, the first before 2026-08-03T14:37:00Z")


def test_a_bad_line_is_one_line_of_error_and_exit_code_2(ask: Asked, file: Path, tmp_path: Path) -> None:
    lines = file.read_text().splitlines()
    lines[70] = lines[70].replace(",", ",x", 1)
    output = tmp_path / "out.csv"
    code, _, err = ask(write(file, "\n".join(lines)), "--output", output)
    assert code == 2
    assert err.count("\n") == 1
    assert f"{file}, line 71: open: 'x" in err
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--format", "parquet"], "--format parquet: is not for the screen; name a file by --output FILE"),
        (["--indicators", "momentum_rs"], '--indicators: "momentum_rs" is not an indicator; did you mean'),
        (["--indicators", ""], '--indicators: ""'),
        (["--engine", "ta", "--indicators", FEW], "--engine ta: has no trend_sma_fast_5"),
        (["--check-warmup", "--format", "csv"], "--output, --format: a check prints its table"),
        (["--check-warmup", "--engine", "ta"], "--check-warmup: is for the streaming indicators"),
    ],
)
def test_wrong_usage_says_the_way_out(ask: Asked, file: Path, words: list[str], says: str) -> None:
    code, out, err = ask(file, *words)
    assert (code, out) == (2, "")
    assert says in err


def test_an_input_is_never_overwritten(ask: Asked, file: Path) -> None:
    before = file.read_text()
    code, _, err = ask(file, "--output", file.parent / "." / file.name)
    assert code == 2
    assert "is one of the files to read" in err
    assert file.read_text() == before


def test_an_output_file_holds_what_would_be_printed(ask: Asked, file: Path, tmp_path: Path) -> None:
    _, printed, _ = ask(file)
    assert ask(file, "--output", tmp_path / "out.csv") == (0, "", "")
    assert (tmp_path / "out.csv").read_text() == printed


def test_parquet_holds_what_the_csv_holds(ask: Asked, file: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is missing; run: make setup")
    _, printed, _ = ask(file)
    assert ask(file, "--format", "parquet", "--output", tmp_path / "out.parquet") == (0, "", "")
    found = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    for row, expected in zip(found, table(printed), strict=True):
        assert list(row) == list(expected)
        assert [None if text == "" else float(text) for text in expected.values()] == list(row.values())


@pytest.mark.parametrize(
    ("module", "words"), [("pyarrow", ["--format", "parquet"]), ("ta", ["--engine", "ta"])]
)
def test_a_library_that_is_not_installed_is_named(
    ask: Asked, file: Path, monkeypatch: pytest.MonkeyPatch, module: str, words: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    code, _, err = ask(file, *words, "--output", file.parent / "out")
    assert code == 2
    assert f"{words[0]} {words[1]}: the package {module} is not installed" in err
    assert list(file.parent.iterdir()) == [file]


def test_the_reference_library_gives_the_same_where_it_does_not_look_ahead(ask: Asked, file: Path) -> None:
    ours, theirs = (table(ask(file, "--engine", engine)[1]) for engine in ("stream", "ta"))
    for row, other in zip(ours, theirs, strict=True):
        assert row["open_time_ms"] == other["open_time_ms"]
        for column in ("momentum_rsi", "trend_wma", "volume_obv", "volatility_atr"):
            assert (row[column] == "") == (other[column] == "")
            if row[column]:
                assert float(row[column]) == pytest.approx(float(other[column]), rel=1e-9)
    assert (ours[0]["trend_visual_ichimoku_b"], theirs[0]["trend_visual_ichimoku_b"] == "") == ("", False)


def test_the_reference_library_needs_more_bars(ask: Asked, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", archive(SERIES[:27]))
    code, _, err = ask(path, "--engine", "ta")
    assert code == 1
    assert "fewer than 28 bars, and there are 27" in err
    assert ask(path)[0] == 0


def test_the_warm_up_check_is_a_table(ask: Asked, file: Path) -> None:
    code, out, _ = ask(file, "--check-warmup", "--indicators", "trend_sma_fast,volume_obv,trend_ema_slow")
    rows = [line.split(maxsplit=2) for line in out.splitlines()[1:4]]
    assert code == 0
    assert rows == [
        ["trend_sma_fast", "11", "11"],
        ["volume_obv", "0", "never (sums from the first bar)"],
        ["trend_ema_slow", "25", "not within 54 bars"],
    ]
    assert "each followed for 60 of 120 bars" in out


def test_a_warm_up_check_of_too_few_bars_says_how_many_it_needs(ask: Asked, file: Path) -> None:
    code, out, err = ask(file, "--check-warmup")
    assert (code, out) == (1, "")
    assert "120 bars are too few; name files with 146" in err


@pytest.mark.thorough
def test_the_look_ahead_check_is_a_line_or_a_failure(ask: Asked, file: Path) -> None:
    code, out, _ = ask(file, "--check-lookahead")
    assert code == 0
    assert out.startswith(f"no column uses a later bar (120 bars, {len(ALL_COLUMNS)} columns;")
    code, out, _ = ask(file, "--check-lookahead", "--engine", "ta")
    assert code == 1
    assert "trend_visual_ichimoku_a                26      0    25" in out
    assert "5 columns use later bars" in out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_and_nowhere_else(
    ask: Asked, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(file, "--output", tmp_path / "a.csv")[2] == ""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    ask(file, "--output", tmp_path / "a.csv")
    assert "computing: 1 bars" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")
