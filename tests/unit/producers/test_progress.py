"""What progress may be written, and what a restart makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from producers.progress import Progress, ProgressLog, decode_progress
from producers.start_positions import OpenHole, StartPosition, read_start_positions_file
from shared.errors import InvalidMessage, UsageError

SERIES = "binance:BTCUSDC:trades"


HOLE = OpenHole(3, 5, 900, 950, offline=True, asked=2, since_ms=1_500)


def at(last_id: int | None, offset: int = 7, *, stopped: bool = False) -> Progress:
    return Progress(last_id, "market.trades", 3, offset, 1_000, 2_000, stopped)


def test_progress_survives_the_wire() -> None:
    assert decode_progress(at(42).encode()) == at(42)
    with_hole = replace(at(42), missing=(HOLE, OpenHole(9, 9)))
    assert decode_progress(with_hole.encode()) == with_hole
    begun = replace(at(None), base=1_019)
    assert decode_progress(begun.encode()) == begun


def test_progress_of_another_version_is_read_as_far_as_it_is_known() -> None:
    read = orjson.loads(at(42).encode())
    del read["missing"], read["after"]
    assert decode_progress(orjson.dumps(read | {"weather": "fine"})) == at(42)


TEXT = at(1).encode().replace(b'"offset":7', b'"offset":"7"')
BELOW = at(1).encode().replace(b'"partition":3', b'"partition":-3')


@pytest.mark.parametrize(
    "value", [b"", b"{}", b"[]", b'{"schema":1}', b'{"schema":2,"last_id":1}', TEXT, BELOW]
)
def test_what_is_no_progress_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode_progress(value)


def test_progress_is_written_only_after_the_ledger_events_that_belong_to_it() -> None:
    log = ProgressLog({})
    log.reached(SERIES, at(1))
    assert log.commit() == {}
    log.stage()
    log.reached(SERIES, at(2))
    assert log.commit() == {SERIES: at(1)}
    assert log.commit() == {}
    log.stage()
    assert log.commit() == {SERIES: at(2)}


def test_a_broker_is_asked_for_the_last_record_seen_not_for_the_last_progress() -> None:
    """What a start has read behind the progress may be cut off before anything more is written."""
    log = ProgressLog({SERIES: at(5)}, {SERIES: at(9, 11)})
    assert log.newest == {SERIES: at(9, 11)}
    log.stage()
    assert log.commit() == {}
    assert log.seen(SERIES, at(10, 12))
    assert log.newest == {SERIES: at(10, 12)}


@pytest.mark.parametrize("offset", [10, 11])
def test_a_record_whose_offset_is_given_away_again_stays_what_has_to_be_proved(offset: int) -> None:
    log = ProgressLog({SERIES: at(5)}, {SERIES: at(9, 11)})
    assert not log.seen(SERIES, at(10, offset))
    assert log.newest == {SERIES: at(9, 11)}


def test_the_first_record_of_a_series_may_have_the_offset_that_its_marker_notes() -> None:
    log = ProgressLog({SERIES: at(None, 4)})
    assert log.seen(SERIES, at(1, 4))
    assert log.newest == {SERIES: at(1, 4)}


def test_the_last_word_says_how_much_lies_behind() -> None:
    log = ProgressLog({})
    log.reached(SERIES, at(5))
    final = log.final({SERIES: 4, "binance:NEVER:trades": 0}, 3_000)
    assert final == {SERIES: replace(at(5), updated_ms=3_000, stopped=True, after=4)}


def test_many_holes_are_written_more_rarely() -> None:
    holes = tuple(OpenHole(2 * number, 2 * number) for number in range(500))
    log = ProgressLog({})
    written = []
    for second in range(20):
        log.reached(SERIES, replace(at(2_000 + second), updated_ms=1_000 * second, missing=holes))
        log.stage()
        written += [progress.last_id for progress in log.commit().values()]
    assert written == [2_000, 2_005, 2_010, 2_015]


def test_the_marker_of_a_series_without_records_says_after_which_id_it_begins() -> None:
    log = ProgressLog({SERIES: at(None)})
    log.based(SERIES, 1_019, now_ms=3_000)
    log.stage()
    assert log.commit() == {SERIES: replace(at(None), base=1_019, updated_ms=3_000)}
    first = replace(at(1_020), updated_ms=3_500)
    log.reached(SERIES, first)
    log.based(SERIES, 1_019, now_ms=4_000)
    log.stage()
    assert log.commit() == {SERIES: first}, "what it has reached says more"


def test_a_bearings_file_names_series_and_last_ids(tmp_path: Path) -> None:
    file = tmp_path / "bearings.json"
    file.write_text('{"binance:BTCUSDC:trades": 4711}')
    assert read_start_positions_file(file) == {SERIES: StartPosition(4711)}
    file.write_text('{"binance:BTCUSDC:trades": [4711, 1785767100000]}')
    assert read_start_positions_file(file) == {SERIES: StartPosition(4711, time_ms=1785767100000)}


@pytest.mark.parametrize(
    "content", ["", "[]", '{"a": "1"}', '{"a": true}', '{"a": [1, "2"]}', '{"a": [1]}', "{"]
)
def test_a_file_that_is_none_is_refused_with_its_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "bearings.json"
    file.write_text(content)
    with pytest.raises(UsageError, match=r"bearings\.json"):
        read_start_positions_file(file)


def test_a_missing_bearings_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_start_positions_file(tmp_path / "nowhere.json")
