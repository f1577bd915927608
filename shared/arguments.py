"""Parser and argument types of every command line."""

from __future__ import annotations

import argparse
import math
from typing import Final, NoReturn

from shared.shortened import quoted, sanitized

# Enough for every count, port, time, size, id and seed.
_MOST_BITS: Final = 63
_MOST_DIGITS: Final = 20


class Parser(argparse.ArgumentParser):
    """argparse repeats an invalid argument as it is, however long; this one sanitizes it."""

    def error(self, message: str) -> NoReturn:
        super().error(sanitized(message))


def finite(text: str) -> float:
    """A finite number."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a number that can be used")
    return number


def whole(text: str) -> int:
    """A whole number of at most 63 bits."""
    try:
        # Python accepts thousands of digits, and raises its own error beyond.
        number = int(text) if len(text) <= _MOST_DIGITS else None
    except ValueError:
        number = None
    if number is None or number.bit_length() > _MOST_BITS:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a whole number that can be used")
    return number
