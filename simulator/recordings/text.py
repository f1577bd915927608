"""The lines of a recording's file, packed or plain, up to where it was cut off."""

from __future__ import annotations

import codecs
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from shared.archives import is_litter
from shared.errors import RecordingError

GZIP: Final = b"\x1f\x8b"
ZIP: Final = b"PK\x03\x04"
_MARK: Final = codecs.BOM_UTF8
_PIECE: Final = 2**18
# An exchange's longest frame is far shorter; a recorded exchangeInfo of all symbols has about 20 MB. A file
# without line ends must not fill the memory.
LONGEST_LINE: Final = 8 * 2**20
_LONGEST_ANSWER: Final = 32 * 2**20
_ANSWER: Final = b"http"
_GZIP_BITS: Final = 31
_RAW_BITS: Final = -15
_DEFLATED: Final = 8
# Of a member's local header (PKWARE APPNOTE §4.3.7): method, lengths of name and extra field.
_ZIP_HEADER: Final = struct.Struct("<4s4xH16xHH")


def members_of(path: Path) -> list[str] | None:
    """Files in a ZIP, without those that packers and downloads add; None if it is no ZIP."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except (OSError, zipfile.BadZipFile):
        return None
    return [name for name in names if not is_litter(name)]


class Lines:
    """Lines without line ends, blank lines and byte order marks.

    Args:
        member: of a ZIP; None for a whole file.
        without_last: omit the last line, which was found to be torn.

    Attributes:
        number: of the last line given, from 1, blank ones counted.
        at_end: that line is the file's last, without a line end.
        cut: how the compressed data ends too early; None if it does not.

    Raises:
        RecordingError: a line is longer than LONGEST_LINE bytes.
    """

    def __init__(self, path: Path, member: str | None = None, *, without_last: bool = False) -> None:
        self.number = 0
        self.at_end = False
        self.cut: str | None = None
        self._member = member
        self._without_last = without_last
        self._lines = self._read(path)

    def __iter__(self) -> Iterator[str]:
        return self._lines

    def __next__(self) -> str:
        return next(self._lines)

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def _read(self, path: Path) -> Generator[str]:
        for line in self._whole(path):
            self.number += 1
            if line.strip():
                yield line.removeprefix(_MARK).rstrip(b"\r").decode()

    def _whole(self, path: Path) -> Iterator[bytes]:
        """Lines as they are, one after another."""
        begun: list[bytes] = []  # of a line whose end is still to come
        length = 0
        for piece in self._pieces(path):
            *lines, rest = piece.split(b"\n")
            if lines:
                begun.append(lines[0])
                lines[0] = b"".join(begun)
                self._measure(path, lines[0], len(lines[0]))
                yield from lines
                begun, length = [], 0
            if rest:
                begun.append(rest)
                length += len(rest)
                self._measure(path, begun[0], length)
        last = b"".join(begun)
        # A compressed file that was cut ends anywhere: its last line is not trusted even if it looks whole.
        if last.strip() and not self.cut and not self._without_last:
            self.at_end = True
            yield last

    def _measure(self, path: Path, begin: bytes, length: int) -> None:
        most = _LONGEST_ANSWER if begin.startswith(_ANSWER) else LONGEST_LINE
        if length > most:
            file = path if self._member is None else path / self._member
            raise RecordingError(
                f"{file}, line {self.number + 1}: longer than {most // 2**20} MiB: no frame and no bar; see"
                " whether this is a recording, one frame a line"
            )

    def _pieces(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            if magic[:2] == GZIP:
                yield from self._unpacked(file, _GZIP_BITS)
            elif magic == ZIP:
                yield from self._unzipped(path, file)
            else:
                while piece := file.read(_PIECE):
                    yield piece

    def _unpacked(self, file: BinaryIO, window_bits: int) -> Iterator[bytes]:
        """The data that can be decompressed; the members of a gzip file one after another."""
        unpacker, given, begun = zlib.decompressobj(window_bits), False, False
        while packed := file.read(_PIECE):
            more = True
            while packed or more:
                try:
                    # Bounded, since data may decompress to a thousand times its size.
                    piece = unpacker.decompress(packed, _PIECE)
                except zlib.error as error:
                    # A wrong checksum shows that the data is wrong, but not where.
                    if not begun or "incorrect" in str(error):
                        raise
                    self.cut = f"is damaged ({error})"
                    return
                given, begun = True, begun or bool(piece)
                if piece:
                    yield piece
                more = len(piece) == _PIECE
                if not unpacker.eof:
                    packed = unpacker.unconsumed_tail
                    continue
                if window_bits == _RAW_BITS:
                    return  # what follows is the archive's directory
                packed = unpacker.unused_data.lstrip(b"\0")  # padding, as gzip itself allows it
                unpacker, given, more = zlib.decompressobj(window_bits), False, False
        if given:
            self.cut = "ends in the middle of its packing"

    def _unzipped(self, path: Path, file: BinaryIO) -> Iterator[bytes]:
        try:
            archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile:
            # The directory stands at the end: a file that was cut has none. The first member is readable.
            yield from self._first_member(path, file)
            return
        assert self._member is not None
        with archive, archive.open(self._member) as member:
            while piece := member.read(_PIECE):
                yield piece

    def _first_member(self, path: Path, file: BinaryIO) -> Iterator[bytes]:
        header = file.read(_ZIP_HEADER.size)
        if len(header) < _ZIP_HEADER.size:
            raise RecordingError(f"{path}: cut off within its first 30 bytes; nothing can be read")
        _, method, name_length, extra_length = _ZIP_HEADER.unpack(header)
        if method != _DEFLATED:
            raise RecordingError(f"{path}: a damaged ZIP of method {method}; unpack it, and give the file")
        file.seek(name_length + extra_length, 1)
        yield from self._unpacked(file, _RAW_BITS)
        self.cut = self.cut or "has lost its directory; its first file is read"
