"""What every command line of ours has in common: its words are bounded when they are shown, and finite."""

from __future__ import annotations

import argparse
import math
from typing import Final, NoReturn

from shared.shortened import OF_VALUE, quoted, shortened

# Lists of all choices fit; a word of a hundred thousand signs does not.
_LONGEST_ERROR: Final = 1_000


class Parser(argparse.ArgumentParser):
    """argparse repeats a word that it does not take, whatever it is and however long."""

    def error(self, message: str) -> NoReturn:
        super().error(shortened(message, _LONGEST_ERROR))


def finite(text: str) -> float:
    """A number on the command line; "inf", "nan" and 1e400 are none that anything could last or be."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{quoted(text, OF_VALUE)} is not a number that can be used")
    return number
