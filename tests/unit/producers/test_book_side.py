"""One side of a streamed book, held to a plain dictionary of its prices."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from producers.book_side import BookSide
from shared.messages import Levels

PRICES = st.sampled_from(["0.5", "0.50", "9", "9.99", "10", "10.0", "11.25", "100", "99999.00000001"])
QUANTITIES = st.sampled_from(["0", "0.00", "1", "2.50", "0.00000001"])
LEVELS = st.lists(st.tuples(PRICES, QUANTITIES).map(list), max_size=12)
SNAPSHOTS = LEVELS.map(lambda levels: ("snapshot", levels))
STEPS = st.lists(
    st.one_of(
        SNAPSHOTS,
        LEVELS.map(lambda levels: ("change", levels)),
        st.integers(0, 6).map(lambda depth: ("truncate", depth)),
        st.integers(0, 6).map(lambda count: ("look", count)),
    ),
    max_size=12,
)


class Model:
    """Levels by the numbers of their prices; the best first."""

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.levels: dict[Decimal, list[str]] = {}

    def write(self, levels: Levels) -> None:
        for price, quantity in levels:
            self.levels.pop(Decimal(price), None)
            if Decimal(quantity):
                self.levels[Decimal(price)] = [price, quantity]

    def best(self) -> Levels:
        return [self.levels[at] for at in sorted(self.levels, reverse=self.sign > 0)]


def _unlike(levels: Levels) -> Levels:
    """Each price once, the last time: what a snapshot has."""
    return list({Decimal(price): [price, quantity] for price, quantity in levels}.values())


@given(st.sampled_from([1, -1]), SNAPSHOTS, STEPS)
def test_a_side_is_what_its_snapshot_and_changes_make_of_it(sign, first, steps) -> None:  # type: ignore[no-untyped-def]
    side, model = BookSide(sign), Model(sign)
    for kind, value in [first, *steps]:
        match kind:
            case "snapshot":
                side.replace(_unlike(value))
                model.levels.clear()
                model.write(_unlike(value))
            case "change":
                side.write(value)
                model.write(value)
            case "truncate":
                surplus = model.best()[value:]
                dropped = side.truncate(value)
                assert sorted(dropped) == sorted([price, "0"] for price, _ in surplus)
                model.write(dropped)
            case "look":
                assert side.best(value) == model.best()[:value]
        assert (len(side), side.all()) == (len(model.levels), model.best())
    best = model.best()
    assert side.best_level == (best[0] if best else None)
    assert (side.best_key is None) == (not best)
    if best:
        assert side.worst == float(best[-1][0])


def test_a_level_of_the_snapshot_that_went_and_came_has_its_new_quantity() -> None:
    side = BookSide(1)
    side.replace([["10", "1"], ["9", "2"]])
    assert side.best(2) == [["10", "1"], ["9", "2"]]
    side.write([["10.0", "0.0"]])
    assert side.all() == [["9", "2"]]
    side.write([["10.00", "3"]])
    assert side.all() == [["10.00", "3"], ["9", "2"]]
