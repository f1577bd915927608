"""Parser and argument types of every command line."""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Iterable
from typing import Any, Final, NoReturn

from shared.errors import UsageError
from shared.shortened import quoted, sanitized

# Enough for every count, port, time, size, id and seed.
_MOST_BITS: Final = 63
_MOST_DIGITS: Final = 20
# Longer than every name of ours.
_MOST_LETTERS: Final = 100


class Parser(argparse.ArgumentParser):
    """argparse repeats an invalid argument as it is, however long; this one sanitizes it.

    It says which choice was probably meant, and takes no shortened options: one could mean another after an
    upgrade.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        super().error(sanitized(message))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            meant = nearest(str(value), map(str, action.choices or ()))
            if meant is not None:
                error.message = error.message.replace(" (choose", f", did you mean {meant}? (choose", 1)
            raise


def nearest(text: str, names: Iterable[str], near: float = 0.65) -> str | None:
    """The name that was probably meant; None if none is near.

    Args:
        near: least likeness, from 0 to 1.
    """
    by_case = {name.casefold(): name for name in names}
    found = difflib.get_close_matches(text[:_MOST_LETTERS].casefold(), by_case, n=1, cutoff=near)
    return by_case[found[0]] if found else None


def named(text: str) -> str:
    """A symbol, or several with commas: not none, which is what a script's empty variable gives.

    Raises:
        UsageError: none is named.
    """
    if not text.strip():
        raise UsageError(f"{quoted(text)} names no symbol; write one like BTCUSDC or kraken:BTC/USD")
    return text


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
