from __future__ import annotations

import pytest

from cryptostream.dead_letters.replay_marks import decode_mark, encode_mark, mark_key, partition_of_mark
from shared.errors import InvalidMessage
from shared.id_ranges import IdRanges


def test_a_note_remembers_ranges_of_offsets_that_can_still_be_read() -> None:
    mark = encode_mark(IdRanges([(1, 5), (8, 20)]), 10, 0)
    assert decode_mark(mark) == IdRanges([(10, 20)])


@pytest.mark.parametrize(
    "value", [b"", b"[]", b'{"schema":2,"replayed":[]}', b'{"schema":1,"replayed":[[2,1]]}']
)
def test_what_is_no_note_is_said_to_be_none(value: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode_mark(value)


def test_keys_tell_notes_from_the_progress_of_producers() -> None:
    assert partition_of_mark(mark_key(5)) == 5
    for key in (None, b"binance:BTCUSDC:trades", b"dead-letters:", b"dead-letters:x"):
        assert partition_of_mark(key) is None
