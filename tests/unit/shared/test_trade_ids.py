"""Numbers of trades over several numberings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.trade_ids import EPOCH_SPAN, MAX_EPOCH, number, shown, split

EPOCHS = st.integers(0, MAX_EPOCH)
IDS = st.integers(0, EPOCH_SPAN - 1)


@given(EPOCHS, IDS)
def test_a_number_gives_back_its_numbering_and_id(epoch: int, trade_id: int) -> None:
    assert split(number(epoch, trade_id)) == (epoch, trade_id)
    assert number(epoch, trade_id) < 2**63


@given(st.tuples(EPOCHS, IDS), st.tuples(EPOCHS, IDS))
def test_numbers_are_ordered_by_numbering_and_then_by_id(
    one: tuple[int, int], other: tuple[int, int]
) -> None:
    assert (number(*one) < number(*other)) == (one < other)


@given(IDS)
def test_in_the_first_numbering_the_number_is_the_id(trade_id: int) -> None:
    assert number(0, trade_id) == trade_id


@pytest.mark.parametrize(
    ("epoch", "trade_id"), [(0, -1), (0, 2**53), (0, 2**53 + 1), (-1, 0), (MAX_EPOCH + 1, 0)]
)
def test_what_is_out_of_bounds_has_no_number(epoch: int, trade_id: int) -> None:
    with pytest.raises(ValueError, match="is not from 0 to"):
        number(epoch, trade_id)


def test_people_see_the_exchanges_id_and_which_numbering_if_it_is_not_the_first() -> None:
    assert shown(number(0, 12345)) == "12345"
    assert shown(number(1, 12345)) == "12345 (numbering 2)"
    assert shown(-1) == "-1"
