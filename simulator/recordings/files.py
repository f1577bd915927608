"""Opens recordings: a file's content decides its format."""

from __future__ import annotations

import csv
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import orjson

from shared.archives import archive_name
from shared.errors import RecordingError
from shared.shown import shown
from simulator.recordings import kline_archive, recorder_csv
from simulator.recordings.frame_formats import read_combined, read_cryptofeed, read_hftbacktest
from simulator.recordings.frames import WINDOW, FrameFile, InOrder
from simulator.recordings.items import Frame, Item
from simulator.recordings.recording import Recording
from simulator.recordings.text import Lines, members_of

Progress = Callable[[int], None]
Reader = Callable[[Path, Iterable[str]], Iterator[Item]]

_EXPECTED: Final = (
    "expected frames of Binance spot (hftbacktest, cryptofeed, JSON lines, recorder CSV) or a kline archive"
)
_LONGEST: Final = 200
_PROGRESS_EVERY: Final = 100_000
# Pattern of the first line, and reader of the file.
_FORMATS: Final[tuple[tuple[re.Pattern[str], Reader], ...]] = (
    (re.compile(r"\d{19} \{"), read_hftbacktest),
    (re.compile(r"\d{10}(\.\d+)?: |(https?|wss?)://\S+ (->|<->|<-) "), read_cryptofeed),
    (re.compile(r"TimestampOfReceive,"), recorder_csv.read),
    (
        re.compile(r"\s*\"?(open[_ ]time\w*|\d{10}|\d{13}|\d{16}|\d{19})(\.0*)?\"?\s*,", re.I),
        kline_archive.read,
    ),
    (re.compile(r'\{\s*"(stream|data|receivedTime)"'), read_combined),
)


def open_recordings(paths: Sequence[Path], progress: Progress = lambda _read: None) -> Recording:
    """All files as one recording: each is read through once, and its frames again when they are played.

    Args:
        progress: called now and then with the number of frames and bars read.

    Raises:
        RecordingError: a file cannot be read, is of no known format, or holds another market's data.
    """
    recording = Recording()
    watched = _Watched(progress)
    for text in _texts(paths):
        _look_through(recording, text, watched)
    if recording.empty:
        raise _nothing_in(paths)
    return recording


def check_recordings(paths: Sequence[Path]) -> None:
    """Check by its beginning that each file is a recording.

    Raises:
        RecordingError: as `open_recordings` would raise for the first frame or bar.
    """
    begin = [_begins(text) for text in _texts(paths)]
    if paths and not any(begin):
        raise _nothing_in(paths)


def _texts(paths: Sequence[Path]) -> Iterator[_Text]:
    for path in paths:
        members = members_of(path)
        # Each by itself: an archive's name says its series.
        for member in [None] if members is None else members:
            yield _Text(path, member)


def _nothing_in(paths: Sequence[Path]) -> RecordingError:
    names = ", ".join(str(path) for path in paths)
    return RecordingError(f"{names}: no frames and no klines in there; {_EXPECTED}")


class _Text:
    """A file, or a member of a ZIP, that is read as often as needed.

    Attributes:
        path: as errors name it.
        lines: of the newest pass.
    """

    def __init__(self, file: Path, member: str | None) -> None:
        self.path = file if member is None else file / member
        self.without_last = False
        self.lines = Lines(file, member)
        self._file, self._member = file, member

    def __iter__(self) -> Iterator[str]:
        self.lines.close()
        self.lines = Lines(self._file, self._member, without_last=self.without_last)
        return self.lines

    def items(self) -> Generator[Item]:
        """The items of the file.

        Raises:
            RecordingError: a line has no known format.
        """
        path = self.path
        try:
            yield from _reader(path, next(iter(self), ""))(path, self)
        except (
            OSError,
            EOFError,
            zlib.error,
            lzma.LZMAError,
            zipfile.BadZipFile,
            NotImplementedError,  # zipfile's, for a compression that it does not know
        ) as error:
            raise RecordingError(f"{path}: cannot be read ({_reason(error)}); {_EXPECTED}") from None
        except UnicodeDecodeError:
            raise RecordingError(f"{path}, line {self.lines.number}: not text; {_EXPECTED}") from None
        except orjson.JSONDecodeError as error:
            raise self._damaged(f"damaged JSON ({error})") from None
        except (KeyError, ValueError, TypeError, IndexError, ArithmeticError, RecursionError) as error:
            raise self._damaged(f"damaged ({type(error).__name__}: {error})") from None
        except csv.Error as error:
            raise self._damaged(f"damaged CSV ({error})") from None
        except RuntimeError as error:  # of zipfile: a member that is encrypted
            raise RecordingError(f"{path}: cannot be read ({error}); unpack it, and give the file") from None
        finally:
            self.lines.close()

    def frames(self) -> Generator[Frame]:
        """The frames of the file, in its order."""
        return (item for item in self.items() if type(item) is Frame)

    def _damaged(self, what: str) -> RecordingError:
        return RecordingError(f"{self.path}, line {self.lines.number}: {shown(what)[:_LONGEST]}; {_EXPECTED}")


class _Watched:
    """Counts items on their way, and reports progress."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._read = 0

    def __call__(self, items: Iterator[Item]) -> Iterator[Item]:
        for item in items:
            self._read += 1
            if self._read % _PROGRESS_EVERY == 0:
                self._progress(self._read)
            yield item


def _look_through(recording: Recording, text: _Text, watched: _Watched) -> None:
    recording.begin_file()
    try:
        _take_all(recording, text, watched)
    except RecordingError:
        if not _is_torn(text):
            raise
        torn = text.lines.number
        # A recorder that was killed leaves half a line after whole ones.
        recording.forget_file()
        text.without_last = True
        _take_all(recording, text, watched)
        recording.notes.append(f"{text.path}: its last line ({torn}) is torn and left out")
    if text.lines.cut is not None:
        recording.notes.append(f"{text.path}: {text.lines.cut}; read up to there, {text.lines.number} lines")


def _begins(text: _Text) -> bool:
    """Whether the file has a frame or a bar."""
    try:
        with closing(text.items()) as items:
            return next(items, None) is not None
    except RecordingError:
        if not _is_torn(text):
            raise
        return False


def _is_torn(text: _Text) -> bool:
    """Whether the bad line is the last of several, of which half may be missing."""
    return text.lines.at_end and text.lines.number > 1


def _take_all(recording: Recording, text: _Text, watched: _Watched) -> None:
    def frames() -> Iterator[Frame]:
        for item in watched(text.items()):
            if type(item) is Frame:
                yield item
            else:
                recording.take(item)

    count, first_us = 0, 0
    ordered = InOrder(frames())
    for frame in ordered:
        if not count:
            first_us = frame.received_us
        count += 1
        recording.saw_stream(frame.stream)
    if ordered.late:
        recording.notes.append(
            f"{text.path}: {ordered.late:,} frames stand more than {WINDOW:,} frames behind their time;"
            " they are played where they stand"
        )
    recording.end_file(FrameFile(str(text.path), text.frames, count, first_us))


def _reader(path: Path, first: str) -> Reader:
    for pattern, reader in _FORMATS:
        if pattern.match(first):
            return reader
    name = archive_name(path.name)
    if name is not None and name.kind != "klines":
        raise RecordingError(
            f"{path}: by its name an archive of {name.kind}, which cannot be played; Binance's klines are"
            f" called like {name.symbol}-1m-2024-11"
        )
    exchange = re.search(r'"exchange"\s*:\s*"(\w+)"', first[:1000])
    what = (
        f"a recording of {exchange[1]}, not of Binance spot" if exchange else "not a recording that is known"
    )
    raise RecordingError(f"{path}: {what}; {_EXPECTED}")


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
