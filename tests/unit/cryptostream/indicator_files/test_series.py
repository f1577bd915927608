"""Files as one series."""

from __future__ import annotations

import unicodedata
import zipfile
from pathlib import Path

import pytest

from consumers.indicators.bars import Bar
from cryptostream.indicator_files.series import Joint, Notes, in_order, read_series
from shared.errors import RecordingError
from tests.builders import NOW_MS
from tests.kline_files import archive, bars, export, write

HOUR_MS = 3_600_000
SERIES = bars(60)


def read(*paths: Path, interval: str | None = None) -> tuple[list[Bar], Joint]:
    joint = Joint(interval)
    return list(read_series(in_order(paths), joint)), joint


def parts(directory: Path, *series: list[Bar]) -> list[Path]:
    return [write(directory / f"{number}.csv", archive(part)) for number, part in enumerate(series)]


def test_files_are_one_series_in_order_of_time_however_they_are_named(tmp_path: Path) -> None:
    late = write(tmp_path / "a.csv", archive(SERIES[40:], factor=1000))
    early = write(tmp_path / "b.zip", archive(SERIES[:20], header=True))
    middle = write(tmp_path / "c.csv", export(SERIES[20:40]))
    series, joint = read(late, early, middle)
    assert series == SERIES
    assert joint.interval == "1m"
    assert joint.notes == Notes()


def test_a_bar_at_the_border_of_two_files_counts_once(tmp_path: Path) -> None:
    series, joint = read(*parts(tmp_path, SERIES[:30], SERIES[29:]))
    assert series == SERIES
    assert joint.notes.lines() == ["1 bar came twice with the same values, and counted once"]


def test_a_bar_that_comes_again_with_other_values_is_refused(tmp_path: Path) -> None:
    other = SERIES[29]._replace(volume=99.0)
    with pytest.raises(RecordingError, match=r"1\.csv, line 1: the bar of .* again, with other values"):
        read(*parts(tmp_path, SERIES[:30], [other, *SERIES[30:]]))


def test_files_that_overlap_are_refused_and_so_is_time_that_goes_back(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"1\.csv, line 1: time goes back from .*Z to .*Z"):
        read(*parts(tmp_path, SERIES[:30], SERIES[20:]))
    with pytest.raises(RecordingError, match=r"0\.csv, line 3: time goes back"):
        read(*parts(tmp_path, [*SERIES[1:3], SERIES[0]]))


def test_a_hole_is_gone_over_and_told(tmp_path: Path) -> None:
    series, joint = read(*parts(tmp_path, SERIES[:10] + SERIES[13:20], SERIES[25:]))
    assert series == SERIES[:10] + SERIES[13:20] + SERIES[25:]
    (line,) = joint.notes.lines()
    assert "8 bars are missing in 2 holes" in line
    assert "before 2026-08-03T14:38:00Z" in line
    assert "0.csv, line 11" in line


def test_open_bars_are_left_out(tmp_path: Path) -> None:
    header, *lines = export(SERIES).splitlines()
    marked = [f"{header},closed", *(f"{line},true" for line in lines[:-1]), f"{lines[-1]},false"]
    series, joint = read(write(tmp_path / "live.csv", "\n".join(marked)))
    assert series == SERIES[:-1]
    assert joint.notes.lines() == ["1 open bar left out: its values are not final"]


@pytest.mark.parametrize("interval", ["1s", "5m", "4h", "1d"])
def test_the_rows_tell_the_interval(tmp_path: Path, interval: str) -> None:
    length_ms = {"1s": 1_000, "5m": 300_000, "4h": 4 * HOUR_MS, "1d": 24 * HOUR_MS}[interval]
    made = bars(5, interval_ms=length_ms, start_ms=NOW_MS // length_ms * length_ms)
    series, joint = read(write(tmp_path / "a.csv", archive(made, interval_ms=length_ms)))
    assert (series, joint.interval) == (made, interval)


def plain(series: list[Bar]) -> str:
    """Nothing but what a bar needs."""
    return "open_time,open,high,low,close,volume\n" + "\n".join(",".join(map(str, bar)) for bar in series)


def test_where_rows_do_not_tell_it_the_smallest_step_does(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", plain([SERIES[0], *SERIES[4:20]]))
    series, joint = read(path)
    assert len(series) == 17
    assert (joint.interval, joint.notes.missing) == ("1m", 3)


def test_one_bar_that_does_not_tell_needs_the_interval_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", plain(SERIES[:1]))
    with pytest.raises(
        RecordingError, match="line 2: does not say how long it is; name its interval by --interval"
    ):
        read(path)
    assert read(path, interval="1m")[0] == SERIES[:1]


def test_weeks_are_not_known(tmp_path: Path) -> None:
    week_ms = 7 * 24 * HOUR_MS
    path = write(tmp_path / "a.csv", archive(bars(3, interval_ms=week_ms), interval_ms=week_ms))
    with pytest.raises(RecordingError, match="a bar of 604,800,000 ms; only 1s, 1m"):
        read(path)


def test_another_interval_is_refused(tmp_path: Path) -> None:
    start_ms = NOW_MS // HOUR_MS * HOUR_MS + 2 * HOUR_MS
    hours = write(
        tmp_path / "h.csv",
        archive(bars(3, interval_ms=HOUR_MS, start_ms=start_ms), interval_ms=HOUR_MS),
    )
    minutes = write(tmp_path / "m.csv", archive(SERIES))
    with pytest.raises(RecordingError, match=r"h\.csv, line 1: a bar of 1h in a series of 1m"):
        read(minutes, hours)
    with pytest.raises(RecordingError, match=r"m\.csv, line 1: a bar of 1m in a series of 1h"):
        read(minutes, interval="1h")


def of_early_2018() -> str:
    """An archive: bars on the grid, the last of them cut short by an outage, bars beside it, and back."""
    start_ms, beside_ms = NOW_MS // HOUR_MS * HOUR_MS, 1_694_789
    opens = [start_ms + n * HOUR_MS for n in range(3)]
    opens += [start_ms + n * HOUR_MS + beside_ms for n in range(6, 10)]
    opens += [start_ms + n * HOUR_MS for n in range(10, 13)]
    made = [bar._replace(open_time_ms=at) for bar, at in zip(bars(10), opens, strict=True)]
    lines = archive(made, interval_ms=HOUR_MS).splitlines()
    lines[2] = lines[2].replace(str(opens[2] + HOUR_MS - 1), str(opens[2] + beside_ms - 1))
    lines[6] = lines[6].replace(str(opens[6] + HOUR_MS - 1), str(opens[7] - 1))
    return "\n".join(lines)


@pytest.mark.parametrize("interval", [None, "1h"])
def test_bars_beside_the_grid_are_taken_counted_and_told(tmp_path: Path, interval: str | None) -> None:
    series, joint = read(write(tmp_path / "BTCUSDT-1h-2018-02.csv", of_early_2018()), interval=interval)
    assert (len(series), joint.interval) == (10, "1h")
    hole, beside = joint.notes.lines()
    assert hole.startswith("3 bars are missing in 1 hole")
    assert beside.startswith(
        "4 bars open off the grid of the interval, the first at 2026-08-03T20:28:14.789Z"
    )
    assert "line 4" in beside


def test_bars_that_follow_each_other_too_soon_are_of_another_interval(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", plain(SERIES))
    with pytest.raises(
        RecordingError, match=r"line 4: opens at .*, 60,000 ms after the bar before it: no bars of 1h"
    ):
        read(path, interval="1h")


def test_a_bar_that_an_outage_cut_short_is_taken(tmp_path: Path) -> None:
    lines = archive(SERIES).splitlines()
    lines[5] = lines[5].replace(str(SERIES[5].open_time_ms + 59_999), str(SERIES[5].open_time_ms + 40_123))
    assert read(write(tmp_path / "a.csv", "\n".join(lines)))[0] == SERIES


def test_two_symbols_are_refused_by_row_and_by_name(tmp_path: Path) -> None:
    one = write(tmp_path / "1.csv", export(SERIES[:5]))
    two = write(tmp_path / "2.csv", export(SERIES[5:], symbol="ETHUSDC"))
    with pytest.raises(RecordingError, match=r"2\.csv, line 2: a bar of ETHUSDC in .* BTCUSDC \(.*1\.csv\)"):
        read(one, two)
    three = write(tmp_path / "ETHUSDC-1m-2026-08.csv", archive(SERIES[5:]))
    with pytest.raises(RecordingError, match=r"a file of ETHUSDC in a series of BTCUSDC \(.*1\.csv\)"):
        read(one, three)


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("BTCUSD_PERP-1m-2023-11.csv", "ETHUSD_PERP-1m-2023-12.csv", "symbol"),
        ("币安人生USDT-1m-2025-11.csv", "币安一生USDT-1m-2025-12.csv", "symbol"),
        ("BTCUSDT-1m-2023-11.csv", "BTCUSD_PERP-1m-2023-12.csv", "symbol"),
        ("BTCUSDT-1m-2023-11.csv.gz", "BTCUSDT_240329-1m-2023-12.zip", "symbol"),
        ("data/spot/BTCUSDT-1m-2023-11.csv", "data/futures/um/BTCUSDT-1m-2023-12.csv", "market"),
        ("futures/cm/monthly/a.csv", "futures/um/daily/b.csv", "market"),
        ("BTCUSDT-1m-2023-11.csv", "BTCUSDT-5m-2023-12.csv", "interval"),
    ],
)
def test_files_of_two_series_are_refused_naming_both(tmp_path: Path, one: str, other: str, kind: str) -> None:
    paths = [tmp_path / one, tmp_path / other]
    for path, part in zip(paths, (SERIES[:5], SERIES[5:]), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, archive(part))
    with pytest.raises(RecordingError, match=f"name the files of one {kind}") as refused:
        read(*paths)
    assert all(Path(path).name.split("-")[0] in str(refused.value) for path in paths)


def test_exports_of_two_exchanges_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "1.csv", export(SERIES[:5]))
    two = write(tmp_path / "2.csv", export(SERIES[5:]).replace(",binance,", ",kraken,"))
    with pytest.raises(RecordingError, match="a bar of kraken in a series of binance"):
        read(one, two)


def test_members_of_one_zip_are_held_to_one_series(tmp_path: Path) -> None:
    path = tmp_path / "both.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("BTCUSDT-1m-2023-11.csv", archive(SERIES[:5]))
        packed.writestr("ETHUSDT-1m-2023-12.csv", archive(SERIES[5:]))
    with pytest.raises(RecordingError, match="ETHUSDT in a series of BTCUSDT"):
        read(path)


def test_a_syllable_that_a_file_system_took_apart_is_the_same(tmp_path: Path) -> None:
    name = "가즈아USDT-1m-2025-1{}.csv"
    paths = [
        write(tmp_path / unicodedata.normalize("NFC", name.format(1)), archive(SERIES[:5])),
        write(tmp_path / unicodedata.normalize("NFD", name.format(2)), archive(SERIES[5:])),
    ]
    assert read(*paths)[0] == SERIES


def test_files_with_and_without_names_may_be_of_two_markets(tmp_path: Path) -> None:
    one = write(tmp_path / "BTCUSDT-1m-2023-11.csv", archive(SERIES[:5]))
    two = write(tmp_path / "BTCUSDT-1m-2023-12.csv", archive(SERIES[5:], header=True))
    series, joint = read(one, two)
    assert series == SERIES
    (line,) = joint.notes.lines()
    assert "2023-12.csv has a line of names, as archives of futures have" in line
    assert read(two)[1].notes.lines() == []


def test_an_archive_of_trades_is_named_as_what_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT-aggTrades-2024-11.csv", "1,2.0,3.0,1,1,1785767100000,True,True\n")
    with pytest.raises(RecordingError, match="by its name an archive of aggTrades, not of klines"):
        read(path)


def test_a_file_without_klines_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"empty\.csv: no klines in there"):
        in_order([write(tmp_path / "a.csv", archive(SERIES)), write(tmp_path / "empty.csv", "\n")])
