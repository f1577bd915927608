"""What every command line of ours has in common: words are bounded where they are shown, numbers anyway."""

from __future__ import annotations

import argparse
import math
from typing import Final, NoReturn

from shared.masking import masked
from shared.shortened import bounded, quoted
from shared.shown import shown

# No count, port, time, size or id of ours is longer; seeds neither.
_MOST_BITS: Final = 63
_MOST_DIGITS: Final = 20


class Parser(argparse.ArgumentParser):
    """argparse repeats a word that it does not take, whatever it is and however long."""

    def error(self, message: str) -> NoReturn:
        super().error(bounded(shown(masked(message))))


def finite(text: str) -> float:
    """A number on the command line; "inf", "nan" and 1e400 are none that anything could last or be."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a number that can be used")
    return number


def whole(text: str) -> int:
    """A whole number on the command line that fits where numbers are kept."""
    try:
        # Python reads thousands of digits, and refuses some more, each in words of its own.
        number = int(text) if len(text) <= _MOST_DIGITS else None
    except ValueError:
        number = None
    if number is None or number.bit_length() > _MOST_BITS:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a whole number that can be used")
    return number
