"""Klines of one file, whatever wrote it."""

from __future__ import annotations

import gzip
import re
import zipfile
from pathlib import Path

import orjson
import pytest

from consumers.indicators.bars import Bar
from cryptostream.indicator_files.klines import FileBar, read_klines
from cryptostream.indicator_files.text import texts_of
from shared.errors import RecordingError
from tests.kline_files import ARCHIVE_HEADER, archive, archive_line, bars, export, write

SERIES = bars(3)


def rows(path: Path) -> list[FileBar]:
    return [row for text in texts_of(path) for row in read_klines(text)]


def read(path: Path) -> list[Bar]:
    return [row.bar for row in rows(path)]


@pytest.mark.parametrize("name", ["klines.csv", "klines.csv.gz", "BTCUSDC-1m-2026-08.zip"])
@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("factor", [1, 1000])
def test_an_archive_is_read_with_and_without_names_in_ms_and_us(
    tmp_path: Path, name: str, header: bool, factor: int
) -> None:
    path = write(tmp_path / name, archive(SERIES, header=header, factor=factor))
    assert read(path) == SERIES
    assert {row.length_ms for row in rows(path)} == {60_000}


def test_an_export_is_read_from_csv_and_from_json(tmp_path: Path) -> None:
    csv_path = write(tmp_path / "export.csv", export(SERIES))
    names, *lines = export(SERIES).splitlines()
    records = [
        dict(zip(names.split(","), line.split(","), strict=True))
        | {"open": bar.open, "open_time_ms": bar.open_time_ms}
        for bar, line in zip(SERIES, lines, strict=True)
    ]
    json_path = write(
        tmp_path / "e.json", "[\n" + ",\n".join(orjson.dumps(r).decode() for r in records) + "\n]\n"
    )
    for path in (csv_path, json_path):
        assert read(path) == SERIES
        assert {(row.symbol, row.length_ms, row.closed) for row in rows(path)} == {("BTCUSDC", 60_000, True)}


def test_columns_may_stand_in_any_order_and_say_nothing_of_length(tmp_path: Path) -> None:
    bar = SERIES[0]
    text = f"close,open,low,high,volume,open_time\n{bar.close},{bar.open},{bar.low},{bar.high},{bar.volume},"
    (row,) = rows(write(tmp_path / "a.csv", f"{text}{bar.open_time_ms}\n"))
    assert (row.bar, row.length_ms, row.symbol) == (bar, None, "")


def test_blank_lines_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbf\r\n\r\n" + archive(SERIES).replace("\n", "\r\n\r\n").encode())
    assert read(path) == SERIES
    assert [row.line for row in rows(path)] == [3, 5, 7]


def in_unit(text: str, digits: int) -> str:
    """An archive's times in another unit: as many digits; times that end in 999 do so in each."""

    def moved(time_ms: str) -> str:
        return time_ms[:digits].ljust(digits, "9" if time_ms.endswith("999") else "0")

    return re.sub(r"\b\d{13}\b", lambda found: moved(found[0]), text)


@pytest.mark.parametrize("digits", [10, 13, 16, 19])
def test_times_are_read_in_every_unit(tmp_path: Path, digits: int) -> None:
    path = write(tmp_path / "a.csv", in_unit(archive(SERIES), digits))
    assert read(path) == SERIES
    assert {row.length_ms for row in rows(path)} == {60_000}


def test_units_may_change_within_a_file(tmp_path: Path) -> None:
    text = "".join(in_unit(archive([bar]), digits) for bar, digits in zip(SERIES, (13, 16, 10), strict=True))
    path = write(tmp_path / "a.csv", text)
    assert read(path) == SERIES
    assert {row.length_ms for row in rows(path)} == {60_000}


def test_whole_numbers_that_were_written_as_floats_are_times(tmp_path: Path) -> None:
    text = re.sub(r"\b(\d{13})\b", r"\1.0", archive(SERIES))
    assert read(write(tmp_path / "a.csv", text)) == SERIES


@pytest.mark.parametrize(
    "time", ["1.78577E+12", "2026-08-03 14:25:00", "0", "-1785767100000", "178576710000"]
)
def test_what_is_no_time_is_refused_in_words_that_help(tmp_path: Path, time: str) -> None:
    text = archive(SERIES[:1]).replace(str(SERIES[0].open_time_ms), time, 1)
    with pytest.raises(
        RecordingError, match=r"is not a time since the epoch as a whole number of s, ms, µs or ns|no column"
    ):
        read(write(tmp_path / "a.csv", text))


def test_a_line_of_names_may_come_again_and_even_change(tmp_path: Path) -> None:
    text = archive(SERIES[:1], header=True) + archive(SERIES[1:2], header=True) + export(SERIES[2:])
    assert read(write(tmp_path / "joined.csv", text)) == SERIES


def test_names_are_read_however_they_are_spelled(tmp_path: Path) -> None:
    text = (
        archive(SERIES, header=True)
        .replace("open_time,open", "Open time, Open")
        .replace("close_time", "Close Time")
    )
    assert read(write(tmp_path / "a.csv", text)) == SERIES


@pytest.mark.parametrize(
    "litter",
    ["__MACOSX/._a.csv", "folder/._a.csv", ".DS_Store", "a.zip.CHECKSUM", "a.csv.checksum", "Thumbs.db"],
)
def test_what_packers_and_downloads_leave_in_a_zip_is_passed_over(tmp_path: Path, litter: str) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(litter, b"\x00\x05\x16\x07 litter")
        packed.writestr("a.csv", archive(SERIES))
    assert read(path) == SERIES


def test_all_members_of_a_zip_are_read(tmp_path: Path) -> None:
    path = tmp_path / "both.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("folder/", "")
        packed.writestr("folder/a.csv", archive(SERIES[:1]))
        packed.writestr("folder/b.csv", archive(SERIES[1:], header=True))
    assert read(path) == SERIES


GOOD = archive_line(SERIES[0])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{GOOD}\n1,2,3\n", "line 2: 3 fields instead of 12"),
        (f"{ARCHIVE_HEADER}\n{GOOD}\n{GOOD},7\n", "line 3: 13 fields instead of 12"),
        (GOOD.replace(f",{SERIES[0].open:.8f},", ",abc,", 1), "line 1: open: 'abc' is not a number"),
        (f"{GOOD}\nx{GOOD}\n", r"line 2: open_time: 'x\d+' is not a time"),
        (f"{GOOD}\n99{GOOD}\n", "line 2: open_time: .* is not a time"),
        (GOOD.replace("1785767159999", "soon"), "close_time: 'soon' is not a time"),
        (
            "open_time,open,high,low,close,volume\n1785767100000,1,nan,1,1,1\n",
            "line 2: not a bar: .*high nan",
        ),
        ("open_time,open,high,low,close,volume\n1785767100000,1,inf,1,1,1\n", "line 2: not a bar"),
        (
            "open_time,open,high,low,close,volume\n1785767100000,5,2,1,1,1\n",
            "line 2: not a bar: open 5.0, high 2.0",
        ),
        ("open_time,open,high,low,close,volume\n1785767100000,1,2,1,3,1\n", "line 2: not a bar"),
        ("open_time,open,high,low,close,volume\n1785767100000,1,2,1,1,-1\n", "line 2: not a bar.*volume -1"),
        ("time,price\n1,2\n", 'line 1: no column "open_time_ms"; expected a kline archive'),
        ("\n\nopen_time,open,high,low,close\n", 'line 3: no column "base_volume"'),
        (f'{GOOD}\n"{GOOD}\n', "line 2: damaged CSV"),
        ('[\n{"open_time_ms":1,"open":1}\n]\n', 'line 2: no column "high"'),
        ('[\n{"open_time_ms":\n]\n', "line 2: not one JSON object a line"),
        ("[\n[1785767100000,1,2,1,1,1]\n]\n", "line 2: not one JSON object|line 2: not a JSON object"),
        (export(SERIES).replace(",1m,", ",7m,"), "line 2: interval: '7m' is not one of 1s, 1m"),
        ("x" * 100_000, "line 1: longer than 65,536 characters"),
    ],
)
def test_a_bad_line_is_named_with_its_number(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(RecordingError, match=rf"bad\.csv, {says}" if says.startswith("line") else says):
        read(write(tmp_path / "bad.csv", text))


def test_json_whose_names_change_is_refused(tmp_path: Path) -> None:
    first = dict(zip(("open_time_ms", "open", "high", "low", "close", "base_volume"), SERIES[0], strict=True))
    second = {key: value for key, value in first.items() if key != "close"}
    text = f"{orjson.dumps(first).decode()}\n{orjson.dumps(second).decode()}\n"
    with pytest.raises(RecordingError, match="line 2: has other names than line 1"):
        read(write(tmp_path / "a.json", text))


def test_a_null_is_no_number(tmp_path: Path) -> None:
    first = dict(zip(("open_time_ms", "open", "high", "low", "close", "base_volume"), SERIES[0], strict=True))
    text = orjson.dumps(first | {"close": None}).decode()
    with pytest.raises(RecordingError, match="line 1: close: 'None' is not a number"):
        read(write(tmp_path / "a.json", text))


def test_a_file_cut_short_is_named_with_the_last_line_read(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv.gz"
    whole = gzip.compress(archive(bars(2000)).encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordingError, match=r"cut\.csv\.gz: cannot be read on after line \d+"):
        read(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xff\xfe\x00\x80" * 10)
    with pytest.raises(RecordingError, match=r"a\.csv, line 1: not text"):
        read(path)


def test_a_file_that_is_not_there_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"nowhere\.csv: cannot be read \(No such file"):
        read(tmp_path / "nowhere.csv")
    with pytest.raises(RecordingError, match=r"cannot be read \(Is a directory"):
        read(tmp_path)


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", archive(SERIES))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(RecordingError, match=r"a\.zip: cannot be read"):
        read(path)


def test_a_zip_packed_in_an_unknown_way_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", archive(SERIES))
    packed = bytearray(path.read_bytes())
    # The method stands in the file's own header and in the directory at the end.
    for header, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = packed.index(header) + place
        packed[at : at + 2] = (97).to_bytes(2, "little")
    path.write_bytes(packed)
    with pytest.raises(RecordingError, match=r"cannot be read on after line 0"):
        read(path)
