"""Finds the fewest disturbances that still fail, by delta debugging. Pure.

Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002), ddmin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.simulation.schedule import Schedule

Element = TypeVar("Element")


def shrunk(schedule: Schedule, fails: Callable[[Schedule], bool]) -> Schedule:
    """The schedule without the disturbances that its failure does not need.

    Args:
        fails: whether a schedule fails in the same way; the given one does.
    """
    return schedule.only(fewest(schedule.disturbances, lambda kept: fails(schedule.only(kept))))


def fewest(elements: Sequence[Element], fails: Callable[[Sequence[Element]], bool]) -> tuple[Element, ...]:
    """Elements in their order that still fail, of which none can be left out.

    Args:
        fails: whether these elements fail; all of them do. Asked once for each choice.
    """
    answers: dict[tuple[int, ...], bool] = {}

    def ask(indices: tuple[int, ...]) -> bool:
        if indices not in answers:
            answers[indices] = fails([elements[index] for index in indices])
        return answers[indices]

    left = tuple(range(len(elements)))
    if left and ask(()):
        return ()
    parts = 2
    while len(left) > 1:
        pieces = [left[len(left) * n // parts : len(left) * (n + 1) // parts] for n in range(parts)]
        complements = [tuple(index for index in left if index not in piece) for piece in pieces]
        if (piece := next(filter(ask, pieces), None)) is not None:
            left, parts = piece, 2
        elif parts > 2 and (rest := next(filter(ask, complements), None)) is not None:
            left, parts = rest, max(parts - 1, 2)
        elif parts < len(left):
            parts = min(parts * 2, len(left))
        else:
            break
    return tuple(elements[index] for index in left)
