"""Checked fields: what is wrong is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from producers.exchanges import fields
from shared.errors import InvalidMessage

EVENT: dict[str, Any] = {"symbol": "BTC/USD", "side": "buy", "trade_id": 7, "id_text": "12", "none": None}


def test_good_fields_are_given() -> None:
    assert fields.name_of(EVENT, "symbol") == "BTC/USD"
    assert fields.choice_of(EVENT, "side", {"buy": True, "sell": False}) is True
    assert (fields.whole_of(EVENT, "trade_id"), fields.whole_of(EVENT, "id_text")) == (7, 12)
    assert fields.row_of("row", [1, 2], 2) == [1, 2]


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: fields.field_of(EVENT, "price"), "price: missing"),
        (lambda: fields.name_of(EVENT, "trade_id"), "trade_id: '7' is not a name of 1 to 64 characters"),
        (lambda: fields.name_of({"symbol": "x" * 65}, "symbol"), "symbol: .* is not a name"),
        (
            lambda: fields.choice_of({"side": "up"}, "side", {"buy": True, "sell": False}),
            "side: 'up' is not buy or sell",
        ),
        (lambda: fields.choice_of({"side": []}, "side", {"buy": True}), "side: .* is not buy"),
        (lambda: fields.whole_of({"id": True}, "id"), "id: 'True' is not an integer"),
        (lambda: fields.whole_of({"id": -1}, "id"), "id: '-1' is not an integer from 0"),
        (lambda: fields.whole_of({"id": "٣"}, "id"), "id: .* is not an integer"),
        (lambda: fields.whole_of({"id": "9" * 17}, "id"), "id: .* is not an integer"),
        (lambda: fields.whole_of({"id": 2**53}, "id"), "id: .* is not an integer"),
        (lambda: fields.object_of("data", []), "data: .* is not a JSON object"),
        (lambda: fields.list_of("data", {}), "data: .* is not a list"),
        (lambda: fields.row_of("row", [1], 2), "row: .* is not a list of at least 2 values"),
    ],
)
def test_a_wrong_field_is_named_with_what_it_should_be(ask: Callable[[], object], said: str) -> None:
    with pytest.raises(InvalidMessage, match=said):
        ask()


def test_errors_of_foreign_values_become_one_reason() -> None:
    assert fields.reason(KeyError("price")) == "field 'price' is missing"
    assert fields.reason(InvalidMessage("qty", -1, "positive")) == "qty: '-1' is not positive"
    assert fields.reason(TypeError("no")) == "a field of the wrong type: no"
