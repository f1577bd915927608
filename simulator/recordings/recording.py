"""Several recordings as one: where their frames are, and the REST answers beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Final

import orjson

from shared.errors import RecordingError
from simulator.exchange import Depth, KlineRow
from simulator.recordings.frames import FrameFile, Frames
from simulator.recordings.items import Archive, ArchivedBar, Item, Note, RecordedListing, Series, Snapshot
from simulator.recordings.temporary import Temporary

_SCHEMA: Final = """
CREATE TABLE bar (series INTEGER, open_ms INTEGER, file INTEGER, row TEXT, PRIMARY KEY (series, open_ms))
    WITHOUT ROWID;
CREATE TABLE snapshot (symbol TEXT, received_us INTEGER, file INTEGER, depth TEXT);
CREATE INDEX snapshot_by_time ON snapshot (symbol, received_us);
"""
# An exchange has some thousand symbols of a few streams each, and takes 1,024 on a connection.
_MOST_STREAMS: Final = 20_000


class Recording:
    """Frames in receive-time order and the REST answers that belong to them, on disk.

    Attributes:
        frames: read again in each pass.
        streams: names that occur.
        archives: by (symbol, interval), the files of its klines with their markets, if known.
        exchange_info: the newest recorded answer.
        notes: remarks about the files, for the user.
    """

    def __init__(self) -> None:
        self.frames = Frames(())
        self.streams: set[str] = set()
        self.archives: dict[Series, list[tuple[str, str | None]]] = {}
        self.exchange_info: Mapping[str, Any] | None = None
        self.notes: list[str] = []
        self._files: list[FrameFile] = []
        self._file = 0
        self._series: dict[Series, int] = {}
        self._archive: Archive | None = None
        self._tables = Temporary(_SCHEMA)

    # --- while files are read ------------------------------------------------------------------------------

    def begin_file(self) -> None:
        """The items taken from now on are of another file."""
        self._file += 1
        self._archive = None

    def forget_file(self) -> None:
        """The file will be read again: drop its items."""
        for table in ("bar", "snapshot"):
            self._tables.do(f"DELETE FROM {table} WHERE file = ?", (self._file,))
        if self._archive is not None:
            self.archives[self._archive.series].pop()
            self._archive = None

    def take(self, item: Item) -> None:
        """Keep an item that is not a frame.

        Raises:
            RecordingError: archives of two markets, or two bars of one open time that differ.
        """
        match item:
            case ArchivedBar():
                self._take_bar(item)
            case Archive():
                self._take_archive(item)
            case Snapshot():
                row = (item.symbol, item.received_us, self._file, item.depth)
                self._tables.add("INSERT INTO snapshot VALUES (?, ?, ?, ?)", row)
            case RecordedListing():
                self.exchange_info = item.answer
            case Note():
                self.notes.append(item.text)

    def saw_stream(self, name: str) -> None:
        """A frame of that stream was read."""
        if len(self.streams) >= _MOST_STREAMS and name not in self.streams:
            raise RecordingError(
                f"{name}: a stream beyond {_MOST_STREAMS:,} in these recordings; no exchange has so many"
            )
        self.streams.add(name)

    def end_file(self, frames: FrameFile) -> None:
        """The file has been read to its end."""
        self._files.append(frames)
        self.frames = Frames(self._files)

    def _take_archive(self, archive: Archive) -> None:
        self._archive = archive
        self._series.setdefault(archive.series, len(self._series))
        for before, other in chain.from_iterable(self.archives.values()):
            if archive.market is not None and other is not None and archive.market != other:
                raise RecordingError(
                    f"{archive.file}: of {archive.market}, and {before} of {other}: give files of one market"
                )
        self.archives.setdefault(archive.series, []).append((archive.file, archive.market))

    def _take_bar(self, bar: ArchivedBar) -> None:
        assert self._archive is not None
        series, text = self._archive.series, orjson.dumps(list(bar.row)).decode()
        key = (self._series[series], bar.row.open_time_ms)
        if self._tables.do("INSERT OR IGNORE INTO bar VALUES (?, ?, ?, ?)", (*key, self._file, text)):
            return
        known = self._tables.row("SELECT file, row FROM bar WHERE series = ? AND open_ms = ?", key)
        assert known is not None
        if known[1] == text:
            return
        if known[0] == self._file:
            raise RecordingError(
                f"{self._archive.file}, line {bar.line}: the bar of {bar.row.open_time_ms} again, with other"
                " values; keep one"
            )
        raise RecordingError(
            f"{', '.join(file for file, _ in self.archives[series])}: two bars of {' '.join(series)} at"
            f" {bar.row.open_time_ms} with other values: give files of one market, each bar once"
        )

    # --- when they have been -------------------------------------------------------------------------------

    @property
    def empty(self) -> bool:
        return not len(self.frames) and not self.archives

    @property
    def series(self) -> list[Series]:
        """Those of archived bars."""
        return list(self._series)

    def bars(self, series: Series) -> Iterator[KlineRow]:
        """Archived bars of a series in their order."""
        found = self._tables.rows(
            "SELECT row FROM bar WHERE series = ? ORDER BY open_ms", (self._series[series],)
        )
        for (text,) in found:
            yield KlineRow(*orjson.loads(text))

    @property
    def last_bar_ms(self) -> int:
        """When the last of the archived bars closes, its last millisecond."""
        return max(row.close_time_ms for series in self._series for row in self.bars(series))

    @property
    def snapshot_symbols(self) -> set[str]:
        return {symbol for (symbol,) in self._tables.rows("SELECT DISTINCT symbol FROM snapshot")}

    def depth(self, symbol: str, at_us: int) -> Depth | None:
        """The newest snapshot up to a time, else the earliest one; None: there is none."""
        query = "SELECT depth FROM snapshot WHERE symbol = ? {} LIMIT 1"
        up_to = query.format("AND received_us <= ? ORDER BY received_us DESC, rowid DESC")
        found = self._tables.row(up_to, (symbol, at_us)) or self._tables.row(
            query.format("ORDER BY received_us, rowid"), (symbol,)
        )
        return None if found is None else Depth(*orjson.loads(found[0]))
