"""Reads files as one series: ordered by time, of one symbol and interval, each bar once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Final

from consumers.indicators.bars import Bar
from cryptostream.indicator_files.klines import FileBar, read_klines
from cryptostream.indicator_files.text import Text, texts_of
from shared.archives import archive_name, market_of
from shared.errors import RecordingError
from shared.intervals import INTERVAL_MS
from shared.times import iso

_NAMES: Final = {length_ms: interval for interval, length_ms in INTERVAL_MS.items()}
# Rows without a length: the smallest step between so many is the interval, since not all steps are gaps.
_ENOUGH_TO_TELL: Final = 16


@dataclass
class Notes:
    """Oddities of a series that are no errors.

    Attributes:
        repeated: bars that came twice with the same values and count once.
        off_grid: bars that open off their interval's grid, as in Binance's archives of early 2018.
        first_off_grid: the first of these as text.
        doubtful: files that may be of different markets, as text.
        open_bars: bars still open, left out.
        gaps, missing: gaps between bars, and how many bars are missing there.
        first_gap: the first gap as text.
    """

    repeated: int = 0
    off_grid: int = 0
    first_off_grid: str = ""
    doubtful: str = ""
    open_bars: int = 0
    gaps: int = 0
    missing: int = 0
    first_gap: str = ""

    def lines(self) -> list[str]:
        """The oddities as text, one line each."""
        lines = []
        if self.gaps:
            lines.append(
                f"{self.missing:,} bars are missing in {_number(self.gaps, 'hole')},"
                f" the first {self.first_gap}; indicators go on over them, as the services do"
            )
        if self.off_grid:
            lines.append(
                f"{_number(self.off_grid, 'bar')} {'opens' if self.off_grid == 1 else 'open'} off the grid of"
                f" the interval, the first {self.first_off_grid}; taken as they are"
            )
        if self.doubtful:
            lines.append(self.doubtful)
        if self.repeated:
            lines.append(f"{_number(self.repeated, 'bar')} came twice with the same values, and counted once")
        if self.open_bars:
            lines.append(f"{_number(self.open_bars, 'open bar')} left out: its values are not final")
        return lines


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


@dataclass
class Joint:
    """Joins bars of all files into one series. Pure.

    Attributes:
        interval: of the series; None until it is known.
    """

    interval: str | None = None
    notes: Notes = field(default_factory=Notes)
    _properties: dict[str, tuple[str, str]] = field(default_factory=dict)
    _current: Text | None = None
    _last: Bar | None = None
    _short_before: bool = False

    def take(self, text: Text, row: FileBar) -> Bar | None:
        """The bar, if it is the next of the series; None if it is a repetition or still open.

        Raises:
            RecordingError: the bar is of another series, or time goes back.
        """
        if text is not self._current:
            self._current = text
            self._check_file(text, row)
        self._agree(text, row.line, "a bar of", "symbol", row.symbol)
        self._agree(text, row.line, "a bar of", "exchange", row.exchange)
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
            self._check_step(text, row, step_ms)
            if step_ms >= 2 * INTERVAL_MS[interval]:
                self._note_gap(text, row, step_ms // INTERVAL_MS[interval] - 1)
        if bar.open_time_ms % INTERVAL_MS[interval]:
            self._note_off_grid(text, row)
        self._last = bar
        return bar

    def _check_file(self, text: Text, row: FileBar) -> None:
        """Check what the names of a file and its folder tell, before its first bar."""
        name = archive_name(text.title)
        if name is not None:
            self._agree(text, row.line, "by its name a file of", "symbol", name.symbol)
            self._agree(text, row.line, "by its name a file of", "interval", name.interval)
            if self.interval is None and name.interval in INTERVAL_MS:
                self.interval = name.interval
            if name.interval in INTERVAL_MS and name.interval != self.interval:
                raise text.error(
                    row.line,
                    f"by its name a file of {name.interval} in a series of {self.interval}:"
                    " name files of one interval",
                )
        symbol = row.symbol or (name.symbol if name is not None else "")
        self._agree(text, row.line, "a file of", "market", market_of(text.path, symbol) or "")
        if name is not None:
            self._check_header(text, row)

    def _agree(self, text: Text, line: int, what: str, kind: str, value: str) -> None:
        """Require the same value as before; "" is unknown and agrees with all."""
        if not value:
            return
        before = self._properties.setdefault(kind, (value, text.name))
        if value != before[0]:
            raise text.error(
                line, f"{what} {value} in a series of {before[0]} ({before[1]}): name the files of one {kind}"
            )

    def _check_header(self, text: Text, row: FileBar) -> None:
        """Archives of futures have a header since 2022; those of spot have none."""
        kind = "named" if row.has_header else "nameless"
        before = self._properties.setdefault("header", (kind, text.name))
        if before[0] != kind and "market" not in self._properties and not self.notes.doubtful:
            named, nameless = (text.name, before[1]) if row.has_header else (before[1], text.name)
            self.notes.doubtful = (
                f"{named} has a line of names, as archives of futures have, and {nameless} has none, as those"
                " of spot: see that they are of one market"
            )

    def _check_interval(self, text: Text, row: FileBar) -> str:
        if self.interval is None:
            if row.length_ms is None or row.length_ms not in _NAMES:
                raise text.error(row.line, _unknown_length(row.length_ms))
            self.interval = _NAMES[row.length_ms]
        # Bars that an outage cut short may have an odd length; they are taken as they are.
        other = _NAMES.get(row.length_ms or 0, self.interval)
        if other != self.interval:
            raise text.error(
                row.line, f"a bar of {other} in a series of {self.interval}: name files of one interval"
            )
        return self.interval

    def _check_step(self, text: Text, row: FileBar, step_ms: int) -> None:
        """One step may be shorter than the interval, where the grid changes; two are of another interval."""
        assert self.interval is not None
        short = step_ms < INTERVAL_MS[self.interval]
        if short and self._short_before:
            raise text.error(
                row.line,
                f"opens at {iso(row.bar.open_time_ms)}, {step_ms:,} ms after the bar before it: no bars of"
                f" {self.interval}; name files of one interval",
            )
        self._short_before = short

    def _note_off_grid(self, text: Text, row: FileBar) -> None:
        self.notes.off_grid += 1
        if not self.notes.first_off_grid:
            self.notes.first_off_grid = f"at {iso(row.bar.open_time_ms)} ({text.name}, line {row.line})"

    def _note_gap(self, text: Text, row: FileBar, missing: int) -> None:
        self.notes.gaps += 1
        self.notes.missing += missing
        if not self.notes.first_gap:
            self.notes.first_gap = f"before {iso(row.bar.open_time_ms)} ({text.name}, line {row.line})"


def _backwards(bar: Bar, last: Bar) -> str:
    if bar.open_time_ms == last.open_time_ms:
        return f"the bar of {iso(bar.open_time_ms)} again, with other values; keep one of them"
    return (
        f"time goes back from {iso(last.open_time_ms)} to {iso(bar.open_time_ms)};"
        " files may share a bar at their border, but not overlap"
    )


def _unknown_length(length_ms: int | None) -> str:
    if length_ms is None:
        return "does not say how long it is; name its interval by --interval"
    known = ", ".join(INTERVAL_MS)
    if length_ms > max(INTERVAL_MS.values()):
        return f"a bar of {length_ms:,} ms; only {known} are known: give files of one of these"
    return f"a bar of {length_ms:,} ms; only {known} are known; if it was cut short, name its --interval"


def in_order(paths: Sequence[Path], shown: Mapping[Path, str] | None = None) -> list[Text]:
    """All texts of the files, ordered by the time of their first bar.

    Args:
        shown: names that errors use instead of paths.

    Raises:
        RecordingError: a file cannot be read, or holds no kline.
    """
    first_times: dict[Text, int] = {}
    for path in paths:
        texts = texts_of(path, (shown or {}).get(path))
        for text in texts:
            name = archive_name(text.title)
            if name is not None and name.kind != "klines":
                raise RecordingError(
                    f"{text.name}: by its name an archive of {name.kind}, not of klines; Binance's are called"
                    f" like {name.symbol}-1m-2024-11"
                )
        found = [(text, row) for text in texts for row in islice(read_klines(text), 1)]
        if not found:
            raise RecordingError(f"{(shown or {}).get(path, path)}: no klines in there")
        first_times.update((text, row.bar.open_time_ms) for text, row in found)
    return sorted(first_times, key=first_times.__getitem__)


def read_series(texts: Iterable[Text], joint: Joint) -> Iterator[Bar]:
    """The bars of all texts as one series, read lazily.

    Raises:
        RecordingError: a line is not a kline, or not the next one of the series.
    """
    rows = ((text, row) for text in texts for row in read_klines(text))
    first = list(islice(rows, _ENOUGH_TO_TELL))
    if joint.interval is None and first:
        name = archive_name(first[0][0].title)
        named = name is not None and name.interval in INTERVAL_MS
        joint.interval = name.interval if name and named else _interval_of([row for _, row in first])
    for text, row in chain(first, rows):
        bar = joint.take(text, row)
        if bar is not None:
            yield bar


def _interval_of(rows: Sequence[FileBar]) -> str | None:
    """The length that most rows give or, if none gives any, the smallest step between rows."""
    lengths = Counter(_NAMES[row.length_ms] for row in rows if row.length_ms in _NAMES)
    if lengths:
        return lengths.most_common(1)[0][0]
    if any(row.length_ms is not None for row in rows):
        return None
    steps = [
        later.bar.open_time_ms - earlier.bar.open_time_ms
        for earlier, later in pairwise(rows)
        if later.bar.open_time_ms > earlier.bar.open_time_ms
    ]
    return _NAMES.get(min(steps, default=0))
