"""Shrinking keeps what fails, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.simulation.disturbances import ExchangeFault
from tests.simulation.schedule import Schedule
from tests.simulation.shrink import fewest, shrunk


@given(count=st.integers(0, 25), needed=st.sets(st.integers(0, 24), max_size=4))
def test_exactly_the_needed_elements_are_left(count: int, needed: set[int]) -> None:
    needed = {number for number in needed if number < count}

    assert fewest(range(count), needed.issubset) == tuple(sorted(needed))


def test_of_two_reasons_one_is_left() -> None:
    assert fewest("abcdefgh", lambda kept: "b" in kept or "g" in kept) in (("b",), ("g",))


def test_each_choice_is_tried_once() -> None:
    tried: list[tuple[int, ...]] = []

    def fails(kept: Sequence[int]) -> bool:
        tried.append(tuple(kept))
        return {1, 6, 11} <= set(kept)

    fewest(range(12), fails)

    assert len(tried) == len(set(tried)) < 60


def test_a_schedule_keeps_its_market() -> None:
    faults = tuple(ExchangeFault(f"drop:at={at}", at) for at in range(6))
    schedule = Schedule(7, 1_790_000_000_000, ("BTCUSDC",), 20.0, 1.0, 3, faults)

    found = shrunk(schedule, lambda tried: faults[3] in tried.disturbances)

    assert found == schedule.only((faults[3],))
