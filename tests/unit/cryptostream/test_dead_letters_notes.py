from __future__ import annotations

import pytest

from cryptostream.dead_letters.notes import decode_note, encode_note, note_key, partition_of_note
from shared.errors import InvalidMessage
from shared.id_ranges import IdRanges


def test_a_note_remembers_ranges_of_offsets_that_can_still_be_read() -> None:
    note = encode_note(IdRanges([(1, 5), (8, 20)]), 10, 0)
    assert decode_note(note) == IdRanges([(10, 20)])


@pytest.mark.parametrize(
    "value", [b"", b"[]", b'{"schema":2,"replayed":[]}', b'{"schema":1,"replayed":[[2,1]]}']
)
def test_what_is_no_note_is_said_to_be_none(value: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode_note(value)


def test_keys_tell_notes_from_the_progress_of_producers() -> None:
    assert partition_of_note(note_key(5)) == 5
    for key in (None, b"binance:BTCUSDC:trades", b"dead-letters:", b"dead-letters:x"):
        assert partition_of_note(key) is None
