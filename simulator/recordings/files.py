"""Opening recordings: which format a file has is decided by its content."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import orjson

from shared.archives import archive_name
from shared.errors import RecordingError
from simulator.recordings import combined_frames, cryptofeed, hftbacktest, kline_archive, recorder_csv
from simulator.recordings.recording import Recording, joined
from simulator.recordings.text import Lines, members_of

Reader = Callable[[Path, Iterator[str]], Recording]

_EXPECTED: Final = (
    "expected frames of Binance spot (hftbacktest, cryptofeed, JSON lines, recorder CSV) or a kline archive"
)
# What the first line looks like, and who reads the file.
_FORMATS: Final[tuple[tuple[re.Pattern[str], Reader], ...]] = (
    (re.compile(r"\d{19} \{"), hftbacktest.read),
    (re.compile(r"\d{10}(\.\d+)?: |(https?|wss?)://\S+ (->|<->|<-) "), cryptofeed.read),
    (re.compile(r"TimestampOfReceive,"), recorder_csv.read),
    (
        re.compile(r"\s*\"?(open[_ ]time\w*|\d{10}|\d{13}|\d{16}|\d{19})(\.0*)?\"?\s*,", re.I),
        kline_archive.read,
    ),
    (re.compile(r'\{\s*"(stream|data|receivedTime)"'), combined_frames.read),
)


def open_recordings(paths: Sequence[Path]) -> Recording:
    """All files as one recording.

    Raises:
        RecordingError: a file cannot be read, is of no known format, or holds another market's data.
    """
    recording = joined(_open_one(path) for path in paths)
    if not recording.frames and not recording.klines:
        names = ", ".join(str(path) for path in paths)
        raise RecordingError(f"{names}: no frames and no klines in there; {_EXPECTED}")
    return recording


def _open_one(path: Path) -> Recording:
    members = members_of(path)
    if members is None:
        return _open_text(path, None)
    # Each by itself: an archive's own name says what it is of.
    return joined(_open_text(path, member) for member in members)


def _open_text(file: Path, member: str | None) -> Recording:
    path = file if member is None else file / member
    lines = Lines(file, member)
    try:
        recording = _read(path, lines)
    except RecordingError:
        if not lines.at_end or lines.number == 1:
            raise
        # A recorder that was killed leaves half a line; all before it is whole.
        note, number = "is torn and left out", lines.number
        lines = Lines(file, member, without_last=True)
        recording = _read(path, lines)
        recording.notes.append(f"{path}: its last line ({number}) {note}")
    if lines.cut is not None:
        recording.notes.append(f"{path}: {lines.cut}; read up to there, {lines.number} lines")
    return recording


def _read(path: Path, lines: Lines) -> Recording:
    try:
        first = next(lines, "")
        reader = _reader(path, first)
        return reader(path, _chained(first, lines))
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise RecordingError(f"{path}: cannot be read ({_reason(error)}); {_EXPECTED}") from None
    except UnicodeDecodeError:
        raise RecordingError(f"{path}, line {lines.number}: not text; {_EXPECTED}") from None
    except orjson.JSONDecodeError as error:
        raise RecordingError(f"{path}, line {lines.number}: damaged JSON ({error}); {_EXPECTED}") from None
    except (KeyError, ValueError, TypeError, IndexError, ArithmeticError) as error:
        raise RecordingError(
            f"{path}, line {lines.number}: damaged ({type(error).__name__}: {error}); {_EXPECTED}"
        ) from None


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


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
