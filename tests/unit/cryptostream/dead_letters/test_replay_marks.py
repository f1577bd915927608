from __future__ import annotations

import orjson
import pytest

from cryptostream.dead_letters.replay_marks import (
    MOST_STRETCHES,
    ReplayMark,
    Stretch,
    decode_mark,
    encode_mark,
    mark_key,
    partition_of_mark,
)
from shared.errors import InvalidMessage

# The broker's append times of the letters of a former topic, and of those of the present one.
FORMER_MS = 1_000
PRESENT_MS = 9_000


def read_again(mark: ReplayMark, first_readable: int = 0) -> ReplayMark:
    return decode_mark(encode_mark(mark, first_readable, 0))


def marked(*letters: tuple[int, int]) -> ReplayMark:
    """The mark of a replay of letters, by offset and append time, as the next one reads it."""
    return read_again(ReplayMark().including(letters))


def test_a_note_remembers_letters_that_can_still_be_read() -> None:
    mark = read_again(ReplayMark().including((offset, FORMER_MS) for offset in range(1, 21)), 10)
    assert [mark.has(offset, FORMER_MS) for offset in (9, 10, 20, 21)] == [False, True, True, False]


def test_a_letter_at_the_offset_of_another_was_not_replayed() -> None:
    mark = marked(*((offset, FORMER_MS + offset) for offset in range(500)))
    assert not any(mark.has(offset, PRESENT_MS + offset) for offset in range(20))
    assert all(mark.has(offset, FORMER_MS + offset) for offset in range(500))


def test_a_replay_after_a_power_cut_hides_no_letter_between_the_two() -> None:
    """Offsets 2 to 9 went to others, of which 2 to 5 are still broken; later ones were replayed."""
    former = marked(*((offset, FORMER_MS) for offset in range(10)))
    mark = read_again(former.including((offset, PRESENT_MS + offset) for offset in range(6, 13)))
    assert [mark.has(offset, FORMER_MS) for offset in (0, 1)] == [True] * 2
    assert not any(mark.has(offset, PRESENT_MS + offset) for offset in range(2, 6))
    assert all(mark.has(offset, PRESENT_MS + offset) for offset in range(6, 13))


def test_letters_that_stay_split_a_stretch_and_those_beside_each_other_are_one() -> None:
    mark = ReplayMark().including([(1, 5), (2, 4), (4, 9)]).including([(5, 9)])
    assert mark.present == (Stretch(1, 2, 4, 5), Stretch(4, 5, 9, 9))


def test_a_mark_of_offsets_alone_holds_for_letters_of_before_it() -> None:
    """As versions wrote it that knew no times."""
    old = decode_mark(b'{"schema":1,"replayed":[[0,499]],"updated_ms":%d}' % FORMER_MS)
    assert [old.has(0, FORMER_MS), old.has(499, 3), old.has(500, 3)] == [True, True, False]
    assert not any(old.has(offset, FORMER_MS + 1) for offset in range(20))
    assert read_again(old.including([(3, PRESENT_MS)])).has(4, FORMER_MS)


def test_a_mark_stays_small_and_forgets_the_oldest_letters_first() -> None:
    mark = ReplayMark().including((2 * number, 10**12) for number in range(MOST_STRETCHES + 5))
    value = encode_mark(mark, 0, 10**12)
    assert len(value) < 900_000
    assert [decode_mark(value).has(offset, 10**12) for offset in (8, 10)] == [False, True]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b'{"schema":3,"replayed":[]}',
        b'{"schema":1,"replayed":[[2,1]],"updated_ms":1}',
        b'{"schema":1,"replayed":[[1,2]]}',
        b'{"schema":2,"replayed":[[1,2]],"updated_ms":1}',
        b'{"schema":2,"replayed":[[1,2,3,"x"]],"updated_ms":1}',
    ],
)
def test_what_is_no_note_is_said_to_be_none(value: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode_mark(value)


def test_a_mark_says_its_version() -> None:
    assert orjson.loads(encode_mark(ReplayMark(), 0, 7)) == {"schema": 2, "replayed": [], "updated_ms": 7}


def test_keys_tell_notes_from_the_progress_of_producers() -> None:
    assert partition_of_mark(mark_key(5)) == 5
    for key in (None, b"binance:BTCUSDC:trades", b"dead-letters:", b"dead-letters:x"):
        assert partition_of_mark(key) is None
