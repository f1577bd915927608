"""Opening recordings: which format a file has is decided by its content."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import orjson

from shared.errors import RecordingError
from simulator.recordings import combined_frames, cryptofeed, hftbacktest, kline_archive, recorder_csv
from simulator.recordings.recording import Recording, joined

Reader = Callable[[Path, Iterator[str]], Recording]

_EXPECTED: Final = (
    "expected frames of Binance spot (hftbacktest, cryptofeed, JSON lines, recorder CSV) or a kline archive"
)
# What the first line looks like, and who reads the file.
_FORMATS: Final[tuple[tuple[re.Pattern[str], Reader], ...]] = (
    (re.compile(r"\d{19} \{"), hftbacktest.read),
    (re.compile(r"\d{10}(\.\d+)?: |(https?|wss?)://\S+ (->|<->|<-) "), cryptofeed.read),
    (re.compile(r"TimestampOfReceive,"), recorder_csv.read),
    (re.compile(r"(open_time|\d{13}|\d{16}),"), kline_archive.read),
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
    try:
        lines = (line for line in _lines(path) if line.strip())
        first = next(lines, "")
        reader = _reader(path, first)
        return reader(path, _chained(first, lines))
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise RecordingError(f"{path}: cannot be read ({_reason(error)}); {_EXPECTED}") from None
    except UnicodeDecodeError:
        raise RecordingError(f"{path}: not a text file; {_EXPECTED}") from None
    except orjson.JSONDecodeError as error:
        raise RecordingError(f"{path}: damaged JSON ({error}); {_EXPECTED}") from None
    except (KeyError, ValueError, TypeError, IndexError, ArithmeticError) as error:
        raise RecordingError(f"{path}: damaged ({type(error).__name__}: {error}); {_EXPECTED}") from None


def _reader(path: Path, first: str) -> Reader:
    for pattern, reader in _FORMATS:
        if pattern.match(first):
            return reader
    exchange = re.search(r'"exchange"\s*:\s*"(\w+)"', first[:1000])
    what = (
        f"a recording of {exchange[1]}, not of Binance spot" if exchange else "not a recording that is known"
    )
    raise RecordingError(f"{path}: {what}; {_EXPECTED}")


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic[:2] == b"\x1f\x8b":
        with gzip.open(path, "rt", encoding="utf-8") as text:
            yield from text
    elif magic == b"PK\x03\x04":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    yield from io.TextIOWrapper(member, encoding="utf-8")
    else:
        with path.open(encoding="utf-8") as text:
            yield from text


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
