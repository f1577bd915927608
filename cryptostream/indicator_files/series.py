"""Files as one series: in order of time, of one symbol and interval, each bar once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Final

from consumers.indicators.bars import Bar
from cryptostream.arguments import iso
from cryptostream.indicator_files.klines import FileBar, read_klines
from cryptostream.indicator_files.text import Text, texts_of
from shared.errors import RecordingError
from shared.intervals import INTERVAL_MS

_NAMES: Final = {length_ms: interval for interval, length_ms in INTERVAL_MS.items()}
_ARCHIVE_TITLE: Final = re.compile(r"([A-Za-z0-9]+)-\d+(?:mo|[smhdwM])-\d{4}-\d\d")
# Where rows do not say how long they are, the steps between so many tell: not all of them are holes.
_ENOUGH_TO_TELL: Final = 16


@dataclass
class Notes:
    """What is worth saying of a series that was read, though no error.

    Attributes:
        repeated: bars that stood there twice with the same values, and count once.
        open_bars: bars still open, left out.
        holes, missing: stretches without bars, and how many bars are missing there.
        first_hole: the first of them in words.
    """

    repeated: int = 0
    open_bars: int = 0
    holes: int = 0
    missing: int = 0
    first_hole: str = ""

    def lines(self) -> list[str]:
        """For people; none if there is nothing to say."""
        said = []
        if self.holes:
            said.append(
                f"{self.missing:,} bars are missing in {_number(self.holes, 'hole')},"
                f" the first {self.first_hole}; indicators go on over them, as the services do"
            )
        if self.repeated:
            said.append(f"{_number(self.repeated, 'bar')} came twice with the same values, and counted once")
        if self.open_bars:
            said.append(f"{_number(self.open_bars, 'open bar')} left out: its values are not final")
        return said


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


@dataclass
class Joint:
    """Takes bar after bar, of whatever file; pure.

    Attributes:
        interval: of the series; None until the first bar tells.
    """

    interval: str | None = None
    notes: Notes = field(default_factory=Notes)
    _symbol: str = ""
    _named: Text | None = None
    _last: Bar | None = None

    def take(self, text: Text, row: FileBar) -> Bar | None:
        """The bar, if it is the next of the series; None if it came before or is still open.

        Raises:
            RecordingError: it is of another series, or time goes back.
        """
        self._check_symbol(text, row)
        interval = self._check_interval(text, row)
        if not row.closed:
            self.notes.open_bars += 1
            return None
        bar, last = row.bar, self._last
        if last is not None:
            step_ms = bar.open_time_ms - last.open_time_ms
            if step_ms == 0 and bar == last:
                self.notes.repeated += 1
                return None
            if step_ms <= 0:
                raise text.error(row.line, _backwards(bar, last))
            if step_ms > INTERVAL_MS[interval]:
                self._hole(text, row, step_ms // INTERVAL_MS[interval] - 1)
        self._last = bar
        return bar

    def _check_symbol(self, text: Text, row: FileBar) -> None:
        symbol = row.symbol
        if not symbol and text is not self._named:
            self._named = text
            title = _ARCHIVE_TITLE.match(text.title)
            symbol = title[1].upper() if title else ""
        self._symbol = self._symbol or symbol
        if symbol and symbol != self._symbol:
            raise text.error(
                row.line, f"a bar of {symbol} after bars of {self._symbol}: name one symbol's files"
            )

    def _check_interval(self, text: Text, row: FileBar) -> str:
        if self.interval is None:
            if row.length_ms is None or row.length_ms not in _NAMES:
                raise text.error(
                    row.line, f"{_unknown_length(row.length_ms)}; name its interval by --interval"
                )
            self.interval = _NAMES[row.length_ms]
        # Bars that an outage cut short may say an odd length; they are taken as they are.
        other = _NAMES.get(row.length_ms or 0, self.interval)
        if other != self.interval:
            raise text.error(
                row.line, f"a bar of {other} in a series of {self.interval}: name files of one interval"
            )
        if row.bar.open_time_ms % INTERVAL_MS[self.interval]:
            raise text.error(
                row.line,
                f"opens at {iso(row.bar.open_time_ms)}, where no bar of {self.interval} opens;"
                " name files of one interval",
            )
        return self.interval

    def _hole(self, text: Text, row: FileBar, missing: int) -> None:
        self.notes.holes += 1
        self.notes.missing += missing
        if not self.notes.first_hole:
            self.notes.first_hole = f"before {iso(row.bar.open_time_ms)} ({text.name}, line {row.line})"


def _backwards(bar: Bar, last: Bar) -> str:
    if bar.open_time_ms == last.open_time_ms:
        return f"the bar of {iso(bar.open_time_ms)} again, with other values; keep one of them"
    return (
        f"time goes back from {iso(last.open_time_ms)} to {iso(bar.open_time_ms)};"
        " files may share a bar at their border, but not overlap"
    )


def _unknown_length(length_ms: int | None) -> str:
    if length_ms is None:
        return "does not say how long it is"
    return f"a bar of {length_ms:,} ms; only {', '.join(INTERVAL_MS)} are known"


def in_order(paths: Sequence[Path]) -> list[Text]:
    """All texts of the files, by their first bars' times.

    Raises:
        RecordingError: a file cannot be read, or holds no kline.
    """
    first_times: dict[Text, int] = {}
    for path in paths:
        texts = [(text, row) for text in texts_of(path) for row in islice(read_klines(text), 1)]
        if not texts:
            raise RecordingError(f"{path}: no klines in there")
        first_times.update((text, row.bar.open_time_ms) for text, row in texts)
    return sorted(first_times, key=first_times.__getitem__)


def read_series(texts: Iterable[Text], joint: Joint) -> Iterator[Bar]:
    """The bars of all texts as one series, read as they are needed.

    Raises:
        RecordingError: a line is no kline, or not the series' next.
    """
    rows = ((text, row) for text in texts for row in read_klines(text))
    first = list(islice(rows, _ENOUGH_TO_TELL))
    if joint.interval is None and first and first[0][1].length_ms is None:
        joint.interval = _interval_of_steps([row.bar.open_time_ms for _, row in first])
    for text, row in chain(first, rows):
        bar = joint.take(text, row)
        if bar is not None:
            yield bar


def _interval_of_steps(times_ms: Sequence[int]) -> str | None:
    """What the smallest step between bars says; None if that is no interval."""
    steps = [later - earlier for earlier, later in pairwise(times_ms) if later > earlier]
    return _NAMES.get(min(steps, default=0))
