"""Wire texts: what they match and capture, and the contract's text around it."""

from __future__ import annotations

import pytest

from producers.exchanges.wire_text import RULES, ContractText, captured, matcher

FRAME = '","data":{"s":"<symbol>","t":<trade_id:id>,"p":"<price:decimal>","M":<:flag>}}'
GIVEN = {"symbol": "A.B"}


def groups(text: str, at: int = 0) -> tuple[bytes, ...] | None:
    found = matcher(FRAME, GIVEN)(text.encode(), at)
    return None if found is None else found.groups()


def test_named_holes_are_captured_in_their_order() -> None:
    assert captured(FRAME) == ("trade_id", "price")
    assert groups('","data":{"s":"A.B","t":7,"p":"1.50","M":true}}') == (b"7", b"1.50")
    assert groups('xyz","data":{"s":"A.B","t":7,"p":"1.50","M":true}}', 3) == (b"7", b"1.50")


@pytest.mark.parametrize(
    "text",
    [
        '","data":{"s":"AxB","t":7,"p":"1.50","M":true}}',
        '","data":{"s":"A.B","t":7,"p":"1.50","M":1}}',
        '","data":{"s":"A.B","t":7,"p":"1.50","M":true}} ',
        'x","data":{"s":"A.B","t":7,"p":"1.50","M":true}}',
    ],
)
def test_the_text_around_them_is_taken_literally(text: str) -> None:
    assert groups(text) is None


def test_the_contracts_text_has_the_receive_time_and_holes_for_the_rest() -> None:
    text = '{"symbol":"<symbol>","event":<event_ms>,"received":<received_ms>,"id":<trade_id>}'
    contract = ContractText(text, GIVEN)
    assert contract.names == ("event_ms", "trade_id")
    assert contract.received_at(5) % (b"3", b"7") == b'{"symbol":"A.B","event":3,"received":5,"id":7}'


@pytest.mark.parametrize("rule", RULES)
def test_no_rule_crosses_the_end_of_a_json_value(rule: str) -> None:
    match = matcher("<value:x>", {}, {"x": RULES[rule]})
    for text in (b"", b'1"', b'"1', b"1,1", b"1}", b"{", b" 1", b"1 ", b"1\n", b"1\\", b"\xd9\xa1"):
        assert match(text, 0) is None
