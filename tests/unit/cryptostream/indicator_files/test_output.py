"""Rows of values as CSV and Parquet."""

from __future__ import annotations

import io
import os
import struct
from math import inf, isnan, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptostream.indicator_files import output
from cryptostream.indicator_files.compute import Row
from cryptostream.indicator_files.output import whole_file, write_csv, write_parquet
from shared.errors import CryptoStreamError
from tests.kline_files import bars

COLUMNS = ("a", "b", "c")


def rows(*values: tuple[float, ...]) -> list[Row]:
    return list(zip(bars(len(values)), values, strict=True))


def csv_of(*values: tuple[float, ...]) -> list[str]:
    out = io.BytesIO()
    write_csv(COLUMNS, rows(*values), out)
    return out.getvalue().decode().splitlines()


def test_nan_is_empty_and_infinity_is_inf() -> None:
    lines = csv_of((nan, nan, nan), (1.5, nan, -2.0), (inf, nan, -inf))
    assert lines[0] == "open_time_ms,a,b,c"
    assert [line.split(",", 1)[1] for line in lines[1:]] == [",,", "1.5,,-2.0", "inf,,-inf"]
    assert [int(line.split(",")[0]) for line in lines[1:]] == [bar.open_time_ms for bar in bars(3)]


@given(st.lists(st.tuples(*[st.floats()] * 3), max_size=5))
def test_every_number_is_read_back_bit_for_bit(values: list[tuple[float, ...]]) -> None:
    for line, expected in zip(csv_of(*values)[1:], values, strict=True):
        for text, value in zip(line.split(",")[1:], expected, strict=True):
            if isnan(value):
                assert text == ""
            else:
                assert struct.pack("<d", float(text)) == struct.pack("<d", value)


def test_parquet_has_null_for_nan_and_keeps_infinity_over_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is missing; run: make setup")
    monkeypatch.setattr(output, "_ROW_GROUP", 2)
    path = tmp_path / "a.parquet"
    with path.open("wb") as file:
        write_parquet(COLUMNS, rows((nan, 1.0, inf), (2.0, nan, -inf), (3.0, 1e-300, 0.1)), file)
    table = parquet.read_table(path)
    assert parquet.ParquetFile(path).num_row_groups == 2
    assert [str(field.type) for field in table.schema] == ["int64", "double", "double", "double"]
    assert table.to_pydict() == {
        "open_time_ms": [bar.open_time_ms for bar in bars(3)],
        "a": [None, 2.0, 3.0],
        "b": [1.0, None, 1e-300],
        "c": [inf, -inf, 0.1],
    }


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), whole_file(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_text() == "before"
    with whole_file(path) as file:
        file.write(b"whole")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_is_written_to_not_replaced() -> None:
    with whole_file(Path(os.devnull)) as file:
        file.write(b"gone")
    assert not Path(os.devnull).is_file()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(CryptoStreamError, match=r"--output: .* cannot be written \(No such file"),
        whole_file(tmp_path / "nowhere" / "a.csv"),
    ):
        pass
