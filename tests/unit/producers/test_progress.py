"""What progress may be written, and what a restart makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from producers.bearings import SeriesBearings, read_bearings_file
from producers.progress import Progress, ProgressLog, bearings_from, decode_progress, partition_of
from shared.errors import InvalidMessage, UsageError

SERIES = "binance:BTCUSDC:trades"


def at(last_id: int | None, offset: int = 7, *, stopped: bool = False) -> Progress:
    return Progress(last_id, "market.trades", 3, offset, 1_000, 2_000, stopped)


def test_progress_survives_the_wire() -> None:
    assert decode_progress(at(42).encode()) == at(42)


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b'{"schema":1}', b'{"schema":2,"last_id":1}'])
def test_what_is_no_progress_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode_progress(value)


def test_progress_is_written_only_after_the_ledger_events_that_belong_to_it() -> None:
    log = ProgressLog({})
    log.reached(SERIES, at(1))
    assert log.settled() == {}
    log.stage()
    log.reached(SERIES, at(2))
    assert log.settled() == {SERIES: at(1)}
    assert log.settled() == {}
    log.stage()
    assert log.settled() == {SERIES: at(2)}


def test_the_last_word_says_that_nothing_lies_above() -> None:
    log = ProgressLog({})
    log.reached(SERIES, at(5))
    final = log.final({SERIES: 9, "binance:NEVER:trades": 1}, 3_000)[SERIES]
    assert (final.last_id, final.offset, final.updated_ms, final.stopped) == (9, 7, 3_000, True)


def test_records_above_the_progress_are_bearings_too() -> None:
    found = [(5, 50), (8, 80), (6, 60)]
    assert bearings_from(at(5), found) == SeriesBearings(5, [(8, 80), (6, 60)], 1000)


def test_a_series_killed_before_its_first_progress_begins_with_its_first_record() -> None:
    assert bearings_from(at(None), [(5, 50), (6, 60)]) == SeriesBearings(5, [(5, 50), (6, 60)], 50)
    assert bearings_from(at(None), []) is None


def test_partitions_are_those_of_javas_murmur2() -> None:
    # Vectors of Kafka's own UtilsTest.
    signed = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"abc": 479470107,
    }
    for key, value in signed.items():
        assert partition_of(key, 2**31) == value & 0x7FFFFFFF


def test_a_bearings_file_names_series_and_last_ids(tmp_path: Path) -> None:
    file = tmp_path / "bearings.json"
    file.write_text('{"binance:BTCUSDC:trades": 4711}')
    assert read_bearings_file(file) == {SERIES: SeriesBearings(4711)}
    file.write_text('{"binance:BTCUSDC:trades": [4711, 1785767100000]}')
    assert read_bearings_file(file) == {SERIES: SeriesBearings(4711, time_ms=1785767100000)}


@pytest.mark.parametrize(
    "content", ["", "[]", '{"a": "1"}', '{"a": true}', '{"a": [1, "2"]}', '{"a": [1]}', "{"]
)
def test_a_file_that_is_none_is_refused_with_its_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "bearings.json"
    file.write_text(content)
    with pytest.raises(UsageError, match=r"bearings\.json"):
        read_bearings_file(file)


def test_a_missing_bearings_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_bearings_file(tmp_path / "nowhere.json")
