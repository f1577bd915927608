"""Reads text files line by line: plain, gzip, or members of a ZIP."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.archives import is_litter
from shared.errors import RecordingError

# A kline has some 200 characters; a file of one endless line must not fill the memory.
_LONGEST_LINE: Final = 65_536
# zipfile raises subclasses of RuntimeError for encrypted members and unknown compressions.
_UNREADABLE: Final = (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError)


@dataclass(frozen=True, slots=True)
class Text:
    """A text that can be read repeatedly; holds no file open in between.

    Attributes:
        path: the file.
        member: its name inside a ZIP, else None.
        shown: the user's name for the file, if not its path.
    """

    path: Path
    member: str | None = None
    shown: str | None = None

    @property
    def name(self) -> str:
        """The name in errors."""
        file = self.shown or str(self.path)
        return file if self.member is None else f"{file} ({self.member})"

    @property
    def title(self) -> str:
        """The file name, which tells what an archive holds."""
        return Path(self.shown or self.path).name if self.member is None else Path(self.member).name

    def lines(self) -> Iterator[str]:
        """The lines, with line ends.

        Raises:
            RecordingError: the file cannot be read to its end, or is not text.
        """
        number = 0
        try:
            with ExitStack() as opened:
                text = _opened(self, opened)
                while line := text.readline(_LONGEST_LINE):
                    number += 1
                    if len(line) == _LONGEST_LINE:
                        raise self.error(number, f"longer than {_LONGEST_LINE:,} characters: not klines")
                    yield line
        except UnicodeDecodeError:
            raise self.error(number + 1, "not text (UTF-8)") from None
        except _UNREADABLE as error:
            raise RecordingError(f"{self.name}: cannot be read on after line {number} ({error})") from None

    def error(self, line: int, what: str) -> RecordingError:
        """An error of that line, to be raised."""
        return RecordingError(f"{self.name}, line {line}: {what}")


def texts_of(path: Path, shown: str | None = None) -> list[Text]:
    """The texts in a file: one, or the members of a ZIP without packers' litter.

    Raises:
        RecordingError: the file does not exist, or cannot be read.
    """
    try:
        if _magic(path) != b"PK\x03\x04":
            return [Text(path, shown=shown)]
        with zipfile.ZipFile(path) as archive:
            members = [
                entry for entry in archive.infolist() if not entry.is_dir() and not is_litter(entry.filename)
            ]
    except _UNREADABLE as error:
        reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        raise RecordingError(f"{shown or path}: cannot be read ({reason})") from None
    for entry in members:
        if entry.flag_bits & 1:
            raise RecordingError(f"{shown or path} ({entry.filename}): is encrypted; unpack it first")
    return [Text(path, entry.filename, shown) for entry in members]


def _opened(text: Text, opened: ExitStack) -> io.TextIOBase:
    # utf-8-sig: spreadsheets write a byte order mark, which would spoil the first number.
    if text.member is not None:
        archive = opened.enter_context(zipfile.ZipFile(text.path))
        member = opened.enter_context(archive.open(text.member))
        return opened.enter_context(io.TextIOWrapper(member, encoding="utf-8-sig"))
    if _magic(text.path)[:2] == b"\x1f\x8b":
        return opened.enter_context(gzip.open(text.path, "rt", encoding="utf-8-sig"))
    return opened.enter_context(text.path.open(encoding="utf-8-sig"))


def _magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)
