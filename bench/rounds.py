"""Rounds of sides in turn, their medians and ratios, and goals that a figure reaches or not.

Pure but for the lines of progress.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

Round = dict[str, float]
Side = Callable[[int], Round]

_BEGAN_S: Final = time.monotonic()


def say(text: str) -> None:
    """A line of progress, with the minutes since the start."""
    minutes, seconds = divmod(int(time.monotonic() - _BEGAN_S), 60)
    print(f"[{minutes:2}:{seconds:02}] {text}", file=sys.stderr, flush=True)


def in_turn(
    name: str, rounds: int, sides: Mapping[str, Side], *, warm_up: bool = True
) -> dict[str, list[Round]]:
    """Rounds of all sides, A B C A B C …

    Args:
        warm_up: the first one warms up the servers, has the number 0 and is not counted.
    """
    found: dict[str, list[Round]] = {side: [] for side in sides}
    for number in range(0 if warm_up else 1, rounds + 1):
        for side, measure in sides.items():
            say(f"{name}: {f'round {number} of {rounds}' if number else 'warming up'}, {side}")
            figures = measure(number)
            if number:
                found[side].append(figures)
    return found


def middle(rounds: Sequence[Mapping[str, float]], figure: str) -> float:
    """Median of a figure."""
    return median([one[figure] for one in rounds])


def times(sides: Mapping[str, Sequence[Mapping[str, float]]], one: str, other: str, figure: str) -> float:
    """How many times the `other` side's figure the `one` side's is, by their medians."""
    return middle(sides[one], figure) / middle(sides[other], figure)


@dataclass(frozen=True, slots=True)
class Goal:
    """What is asked of a figure.

    Attributes:
        name: in words, without the bound.
        bound: in `unit`.
        unit: "%", "×", "ms", or a word that follows the number.
        at_least: else at most.
    """

    name: str
    figure: float
    bound: float
    unit: str
    at_least: bool = True

    @property
    def reached(self) -> bool:
        return self.figure >= self.bound if self.at_least else self.figure <= self.bound

    @property
    def asked(self) -> str:
        """Name and bound."""
        return f"{self.name}: {'≥' if self.at_least else '≤'} {self._text(self.bound)}"

    @property
    def measured(self) -> str:
        return self._text(self.figure)

    @property
    def outcome(self) -> str:
        """`reached`, or by how much it is short."""
        if self.reached:
            return "reached"
        missing = abs(self.figure - self.bound)
        # Two digits where the places of the figure would show no difference.
        text = _number(missing, self.unit) if missing >= 1 else f"{missing:.2g}"
        return f"**short by {text}{_of(self.unit, of_difference=True)}**"

    def _text(self, value: float) -> str:
        return f"{_number(value, self.unit)}{_of(self.unit)}"


def _number(value: float, unit: str) -> str:
    return f"{value:,.2f}" if unit in {"×", "core"} else f"{value:,.0f}"


def _of(unit: str, *, of_difference: bool = False) -> str:
    if unit == "%" and of_difference:
        return " points"
    return f" {unit}" if unit else ""


def result_of(messages: int, rounds: int, sides: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A part's result as its JSON has it.

    Args:
        messages: of each side, in all rounds.
    """
    return {"messages": messages, "rounds": rounds, "sides": dict(sides), **more}
