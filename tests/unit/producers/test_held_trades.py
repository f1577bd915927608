"""What is kept of the trades beside holes."""

from __future__ import annotations

from producers.held_trades import HeldTrades
from shared.trade_ids import EPOCH_SPAN
from tests.builders import NOW_MS, trade


def noted(held: HeldTrades, *ids: int, base: int = 0) -> None:
    for each in ids:
        held.note(base + each, trade(trade_id=each))


def known(held: HeldTrades, first: int, last: int) -> tuple[list[int], list[tuple[int, int]]]:
    found = held.beside(first, last)
    return [each["trade_id"] for each in found.held], list(found.marks)


def test_both_neighbours_of_every_hole_are_held() -> None:
    held = HeldTrades()
    noted(held, 1, 2, 3, 7, 8, 9, 20, 21)
    assert known(held, 4, 6) == ([3, 7], [])
    assert known(held, 10, 19) == ([9, 20], [])
    # Of a part of a hole, those of all of it; of two at once, the outermost.
    assert known(held, 12, 13) == ([9, 20], [])
    assert known(held, 4, 19) == ([3, 20], [])


def test_the_newest_trade_is_below_a_hole_that_rest_alone_shows() -> None:
    held = HeldTrades()
    noted(held, 1, 2, 3)
    assert known(held, 4, 5) == ([3], [])
    noted(held, 6)
    assert known(held, 4, 5) == ([3, 6], [])


def test_trades_of_an_earlier_process_are_known_by_id_and_time_alone() -> None:
    held = HeldTrades()
    held.mark(5, NOW_MS)
    held.mark(4, 0)  # of which not even the time is known
    noted(held, 9, 10)
    assert known(held, 6, 8) == ([9], [(5, NOW_MS)])


def test_numberings_are_kept_apart() -> None:
    held = HeldTrades()
    noted(held, 900, 901)
    noted(held, 5, 6, base=EPOCH_SPAN)
    assert known(held, EPOCH_SPAN + 1, EPOCH_SPAN + 4) == ([5], [])
    held.mark(EPOCH_SPAN + 1, NOW_MS)
    assert known(held, EPOCH_SPAN + 2, EPOCH_SPAN + 4) == ([5], [(1, NOW_MS)])


def test_no_more_are_held_than_of_a_thousand_holes() -> None:
    held = HeldTrades()
    noted(held, *range(0, 9_000, 3))
    assert len(held._numbers) == len(held._held) == 2_000
    assert known(held, 8_995, 8_996) == ([8_994, 8_997], [])
