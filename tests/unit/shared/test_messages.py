"""The plain checks of the hot path say what the pydantic models say."""

from __future__ import annotations

import copy
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.errors import InvalidMessage
from shared.messages import AnyMessage, check, decode, encode
from shared.models import MODELS
from tests.builders import BUILDERS

KINDS = sorted(MODELS)

# Values around every border that a check has: types, signs, sizes, forms of decimals, names, nulls.
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.sampled_from([0, 1, -1, -2, 1023, 1024, 2**53 - 1, 2**53, 2**53 + 1]),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1]),
    st.floats(),
    st.text(max_size=70),
    st.sampled_from(
        ["1", "1.0", "01.10", ".5", "5.", "1e5", "-1", "+1", " 1", "1\n", "١", "1" * 21, "0." + "1" * 21]
    ),
    st.sampled_from(["", "x" * 64, "x" * 65, "stream", "replay", "diff", "snapshot", "trades", "lost", "1m"]),
    st.lists(st.one_of(st.lists(st.sampled_from(["1.5", "x", "2"]), max_size=3), st.integers()), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@st.composite
def maybe_broken(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """A message of a kind, up to three of whose fields are replaced, removed or added."""
    message: dict[str, Any] = copy.deepcopy(BUILDERS[kind]())
    for _ in range(draw(st.integers(0, 3))):
        field = draw(st.sampled_from([*message, "extra", "epoch"]))
        if draw(st.integers(0, 9)) == 0:
            message.pop(field, None)
        else:
            message[field] = draw(VALUES)
    return message


def model_accepts(kind: str, message: Any) -> bool:
    try:
        MODELS[kind].model_validate(message)
    except ValidationError:
        return False
    return True


def check_accepts(kind: str, message: Any) -> bool:
    try:
        check(kind, message)
    except InvalidMessage:
        return False
    return True


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_plain_checks_accept_exactly_what_the_models_accept(kind: str, data: st.DataObject) -> None:
    message = data.draw(maybe_broken(kind))
    assert check_accepts(kind, message) == model_accepts(kind, message)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_an_accepted_message_has_the_same_bytes_from_both(kind: str, data: st.DataObject) -> None:
    message = data.draw(maybe_broken(kind))
    message.pop("extra", None)
    if kind != "trade":
        message.pop("epoch", None)
    if not check_accepts(kind, message):
        return
    # What may be left out is not written where it was: only trades of a later numbering name it.
    by_model = MODELS[kind].model_validate(message).model_dump(by_alias=True, exclude_unset=True)
    optional = ["epoch"] if "epoch" in message else []
    assert list(by_model) == [*BUILDERS[kind](), *optional]
    written = message | {field: message[field] for field in by_model}
    assert orjson.dumps(by_model) == encode(cast(AnyMessage, written))


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_gives_back_what_was_encoded(kind: str) -> None:
    message = BUILDERS[kind]()
    assert decode(kind, encode(message)) == message


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (None, "JSON"),
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"[]", "JSON object"),
        (b"\xff", "JSON"),
        (b"{}", "schema"),
    ],
)
def test_bytes_that_are_no_message_are_refused_with_the_reason(value: bytes | None, named: str) -> None:
    with pytest.raises(InvalidMessage, match=named):
        decode("trade", value)


def test_the_first_wrong_field_is_named_with_its_value() -> None:
    with pytest.raises(InvalidMessage, match=r"price: '1e5' is not a decimal string") as caught:
        check("trade", BUILDERS["trade"](price="1e5"))
    assert caught.value.field == "price"


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("trade", "trade_id"),
        ("depth", "first_update_id"),
        ("depth", "final_update_id"),
        ("quote", "update_id"),
        ("book", "update_id"),
        ("kline", "last_trade_id"),
    ],
)
@pytest.mark.parametrize("value", [2**53, 2**53 + 1, -2])
def test_an_id_that_is_negative_or_beyond_what_json_holds_breaks_the_contract(
    kind: str, field: str, value: int
) -> None:
    check(kind, BUILDERS[kind](**{field: 2**53 - 1}))
    with pytest.raises(InvalidMessage, match=field):
        check(kind, BUILDERS[kind](**{field: value}))


def test_only_a_trade_may_say_in_which_numbering_it_is() -> None:
    check("trade", BUILDERS["trade"](epoch=1))
    with pytest.raises(InvalidMessage, match="epoch"):
        check("trade", BUILDERS["trade"](epoch=1024))
