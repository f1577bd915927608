"""Files as one series: in order of time, of one symbol and interval, each bar once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Final

from consumers.indicators.bars import Bar
from cryptostream.arguments import iso
from cryptostream.indicator_files.klines import FileBar, read_klines
from cryptostream.indicator_files.text import Text, texts_of
from shared.archives import archive_name, market_of
from shared.errors import RecordingError
from shared.intervals import INTERVAL_MS

_NAMES: Final = {length_ms: interval for interval, length_ms in INTERVAL_MS.items()}
# Where rows do not say how long they are, the steps between so many tell: not all of them are holes.
_ENOUGH_TO_TELL: Final = 16


@dataclass
class Notes:
    """What is worth saying of a series that was read, though no error.

    Attributes:
        repeated: bars that stood there twice with the same values, and count once.
        off_grid: bars that open where none of their interval should, as in Binance's archives of early 2018.
        first_off_grid: the first of them in words.
        doubtful: files whose market may not be the same, in words.
        open_bars: bars still open, left out.
        holes, missing: stretches without bars, and how many bars are missing there.
        first_hole: the first of them in words.
    """

    repeated: int = 0
    off_grid: int = 0
    first_off_grid: str = ""
    doubtful: str = ""
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
        if self.off_grid:
            said.append(
                f"{_number(self.off_grid, 'bar')} {'opens' if self.off_grid == 1 else 'open'} off the grid of"
                f" the interval, the first {self.first_off_grid}; taken as they are"
            )
        if self.doubtful:
            said.append(self.doubtful)
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
    _kin: dict[str, tuple[str, str]] = field(default_factory=dict)
    _begun: Text | None = None
    _last: Bar | None = None
    _short_before: bool = False

    def take(self, text: Text, row: FileBar) -> Bar | None:
        """The bar, if it is the next of the series; None if it came before or is still open.

        Raises:
            RecordingError: it is of another series, or time goes back.
        """
        if text is not self._begun:
            self._begun = text
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
                self._hole(text, row, step_ms // INTERVAL_MS[interval] - 1)
        if bar.open_time_ms % INTERVAL_MS[interval]:
            self._off_grid(text, row)
        self._last = bar
        return bar

    def _check_file(self, text: Text, row: FileBar) -> None:
        """What the name of a file and its folder say of it, before its first bar."""
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
            self._look_at_header(text, row)

    def _agree(self, text: Text, line: int, what: str, kind: str, value: str) -> None:
        """Hold what is known of a series to what was known before; an unknown, "", agrees with all."""
        if not value:
            return
        before = self._kin.setdefault(kind, (value, text.name))
        if value != before[0]:
            raise text.error(
                line, f"{what} {value} in a series of {before[0]} ({before[1]}): name the files of one {kind}"
            )

    def _look_at_header(self, text: Text, row: FileBar) -> None:
        """Archives of futures have a line of names, since 2022; those of spot have none."""
        looks = "named" if row.named else "nameless"
        before = self._kin.setdefault("header", (looks, text.name))
        if before[0] != looks and "market" not in self._kin and not self.notes.doubtful:
            named, nameless = (text.name, before[1]) if row.named else (before[1], text.name)
            self.notes.doubtful = (
                f"{named} has a line of names, as archives of futures have, and {nameless} has none, as those"
                " of spot: see that they are of one market"
            )

    def _check_interval(self, text: Text, row: FileBar) -> str:
        if self.interval is None:
            if row.length_ms is None or row.length_ms not in _NAMES:
                raise text.error(row.line, _unknown_length(row.length_ms))
            self.interval = _NAMES[row.length_ms]
        # Bars that an outage cut short may say an odd length; they are taken as they are.
        other = _NAMES.get(row.length_ms or 0, self.interval)
        if other != self.interval:
            raise text.error(
                row.line, f"a bar of {other} in a series of {self.interval}: name files of one interval"
            )
        return self.interval

    def _check_step(self, text: Text, row: FileBar, step_ms: int) -> None:
        """One bar may be shorter than its interval, where the grid changes; two are of another interval."""
        assert self.interval is not None
        short = step_ms < INTERVAL_MS[self.interval]
        if short and self._short_before:
            raise text.error(
                row.line,
                f"opens at {iso(row.bar.open_time_ms)}, {step_ms:,} ms after the bar before it: no bars of"
                f" {self.interval}; name files of one interval",
            )
        self._short_before = short

    def _off_grid(self, text: Text, row: FileBar) -> None:
        self.notes.off_grid += 1
        if not self.notes.first_off_grid:
            self.notes.first_off_grid = f"at {iso(row.bar.open_time_ms)} ({text.name}, line {row.line})"

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
        return "does not say how long it is; name its interval by --interval"
    known = ", ".join(INTERVAL_MS)
    if length_ms > max(INTERVAL_MS.values()):
        return f"a bar of {length_ms:,} ms; only {known} are known: give files of one of these"
    return f"a bar of {length_ms:,} ms; only {known} are known; if it was cut short, name its --interval"


def in_order(paths: Sequence[Path], shown: Mapping[Path, str] | None = None) -> list[Text]:
    """All texts of the files, by their first bars' times.

    Args:
        shown: names for errors, of files that are called otherwise.

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
    """The bars of all texts as one series, read as they are needed.

    Raises:
        RecordingError: a line is no kline, or not the series' next.
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
    """What most rows say of their length or, where none does, the smallest step between them."""
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
