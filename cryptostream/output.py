"""Text for people: figures, aligned columns, the console, progress lines."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from math import floor, log10
from typing import Any, Final, Self, TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from shared.edges import terminal
from shared.shown import shown as visible
from shared.shown import shown_output

_WIDTH: Final = 100
# A column of text narrower than this is hard to read.
_LEAST_TEXT: Final = 24
# Between two updates of a progress line.
_PERIOD_S: Final = 0.2
# Significant digits of computed values: fewer would hide the move of an indicator.
LEAST_DIGITS: Final = 5
# Smaller numbers are written with an exponent, since people do not count zeros.
_SMALLEST_PLAIN: Final = 1e-4
# A float has at most 17 digits; further ones are noise for all but the tiniest prices.
_MOST_DECIMALS: Final = 30


class PlainConsole(Console):
    """A rich console that leaves a closed pipe to `shared.command` and escapes control characters."""

    def __init__(self, *, file: TextIO | None = None, **options: Any) -> None:
        # Names that look like markup ("[/x]") are text.
        super().__init__(
            file=terminal(sys.stdout if file is None else file), markup=False, emoji=False, **options
        )

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=shown_output(segment.text))


def decimals_of(value: float) -> int:
    """Decimals of the shortest form of a number: those of a price as it was quoted."""
    mantissa, _, exponent = repr(value).partition("e")
    fraction = mantissa.partition(".")[2].rstrip("0")
    return min(_MOST_DECIMALS, max(0, len(fraction) - int(exponent or 0)))


def common_decimals(values: Iterable[float]) -> int:
    """The decimals that show each of these numbers in full."""
    return max(map(decimals_of, values), default=0)


def price(value: float | None, decimals: int = 0) -> str:
    """A price with all its decimals, and at least those of its instrument."""
    if value is None:
        return "–"
    return f"{value:,.{max(decimals, decimals_of(value))}f}"


def decimals_for(size: float, digits: int) -> int:
    """The decimals that a number of this size needs to show so many digits."""
    return max(0, digits - 1 - floor(log10(size))) if size else 0


def computed(value: float | None, decimals: int | None = None, digits: int = LEAST_DIGITS) -> str:
    """A computed value with at least so many significant digits, or all if it has fewer.

    Args:
        decimals: of its column; used unless they show too few digits.
    """
    if value is None:
        return "–"
    size = abs(value)
    needed = min(decimals_for(size, digits), decimals_of(value))
    if decimals is not None and needed <= decimals:
        return f"{value:,.{decimals}f}"
    return f"{value:,.{needed}f}" if size >= _SMALLEST_PLAIN or not size else _with_exponent(value, digits)


def _with_exponent(value: float, digits: int) -> str:
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def screen_width(out: TextIO) -> int:
    """Columns of the terminal, 100 if `out` is none."""
    return shutil.get_terminal_size((_WIDTH, 24)).columns if out.isatty() else _WIDTH


def write_columns(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    out: TextIO,
    *,
    right: Iterable[str] = (),
    leaving: Sequence[str] = (),
    whole: str = "csv",
) -> None:
    """Write aligned columns under their headings, without a frame.

    On a terminal that is narrower, columns leave and are named, then the text of the last one is wrapped.

    Args:
        right: headings of right-aligned columns.
        leaving: headings of columns that leave, the least important first.
        whole: the format that has all columns.
    """
    numbers = {position for position, heading in enumerate(headings) if heading in set(right)}
    table = [list(headings), *([visible(text) for text in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    limit = screen_width(out) if out.isatty() else None
    shown = list(range(len(headings)))
    left: list[str] = []
    for heading in leaving:
        if limit is None or _least_width([widths[position] for position in shown], shown, numbers) <= limit:
            break
        place = max((place for place in shown if headings[place] == heading), default=None)
        if place is not None and len(shown) > 1:
            shown.remove(place)
            left.append(heading)
    for row in table if any(headings) else table[1:]:
        cells = [_aligned(row[place], widths[place], right=place in numbers) for place in shown]
        is_text = bool(shown) and shown[-1] not in numbers
        for line in _lines(cells, limit) if limit is not None and is_text else ["  ".join(cells)]:
            out.write(line.rstrip() + "\n")
    if left:
        out.write(left_out(left, limit or 0, whole))


def left_out(names: Iterable[str], width: int, whole: str = "csv") -> str:
    """The line that names the columns for which the screen has no room."""
    shown = ", ".join(name.replace("_", " ") for name in names)
    return f"left out, the screen has {width} columns: {shown}; --format {whole} has all\n"


def _least_width(widths: Sequence[int], places: Sequence[int], numbers: Collection[int]) -> int:
    """Of a table of these columns; the last one may be wrapped if it is text."""
    *others, last = widths
    return sum(others) + 2 * len(others) + (last if places[-1] in numbers else min(last, _LEAST_TEXT))


def _aligned(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if right else text + space


def _lines(cells: Sequence[str], limit: int) -> list[str]:
    """One line, or more if the last cell has to be wrapped: below its begin, or else below all others."""
    *others, last = cells
    before = "".join(f"{cell}  " for cell in others)
    if cell_len(before) + cell_len(last.rstrip()) <= limit:
        return [before + last]
    indent = cell_len(before)
    if limit - indent >= _LEAST_TEXT or not others:
        first, *more = _wrapped(last, limit - indent)
        return [before + first, *(" " * indent + line for line in more)]
    return [before, *(f"    {line}" for line in _wrapped(last, max(limit - 4, 1)))]


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most this width, cut between words where one fits."""
    lines = [""]
    for word in text.split():
        if lines[-1] and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if cell_len(lines[-1]) + cell_len(character) > width and lines[-1]:
                lines.append("")
            lines[-1] += character
    return lines


class ProgressLine:
    """Progress of a long reading, on a terminal only. Leaving the context removes the line.

    Args:
        what: the activity, like "reading pipeline.ledger".
        unit: what is counted.
        total: the expected count, None if unknown.
    """

    def __init__(self, what: str, unit: str, total: int | None = None, out: TextIO | None = None) -> None:
        self._what = what
        self._unit = unit
        self._total = total
        self._out = terminal(sys.stderr if out is None else out)
        self._shown = self._out.isatty()
        self._next_s = 0.0
        self.done = 0

    def advance(self, count: int = 1) -> None:
        self.done += count
        if self._shown and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _PERIOD_S
            of = "" if self._total is None else f" of {self._total:,}"
            self._out.write(f"\r\x1b[K{self._what}: {self.done:,}{of} {self._unit}")
            self._out.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown and self.done:
            self._out.write("\r\x1b[K")
            self._out.flush()
