"""The newest messages of an instrument's streams."""

from __future__ import annotations

from producers.newest_messages import NewestMessages
from producers.stream_health import QUOTE, TRADE
from shared.messages import encode
from tests.builders import quote


def test_bytes_are_decoded_when_they_are_read_and_then_stay_the_same_object() -> None:
    newest = NewestMessages(dict.fromkeys((QUOTE, TRADE)))
    newest[QUOTE] = encode(quote(update_id=7))
    read = newest[QUOTE]
    assert read == quote(update_id=7)
    assert newest[QUOTE] is read
    assert newest[TRADE] is None


def test_a_message_stays_the_object_that_it_is() -> None:
    message = quote()
    newest = NewestMessages({QUOTE: message})
    assert newest[QUOTE] is message
