"""Files that are read more than once, pipes included."""

from __future__ import annotations

import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from shared.archives import is_litter
from shared.errors import RecordingError

_STANDARD_INPUT: Final = "-"


class Readable(NamedTuple):
    """A file that can be opened repeatedly.

    Attributes:
        shown: the user's name for it.
    """

    path: Path
    shown: str


@contextmanager
def readable(paths: Sequence[Path]) -> Iterator[list[Readable]]:
    """The files; pipes are copied into temporary files. "-" is standard input.

    A path that cannot be opened is kept: its reader reports the error. Checksums and the like, which a glob
    matches along with the data, are left out.

    Raises:
        RecordingError: a pipe cannot be read to its end, or there is no room for its content.
    """
    with tempfile.TemporaryDirectory(prefix="cryptostream-") as directory:
        found = []
        wanted = [path for path in paths if not is_litter(path.name)] or paths
        for number, path in enumerate(wanted):
            if str(path) == _STANDARD_INPUT or _is_pipe(path):
                found.append(Readable(_kept(path, Path(directory) / str(number)), str(path)))
            else:
                found.append(Readable(path, str(path)))
        yield found


def _is_pipe(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
        # Other devices can be opened again, and some never end.
        return stat.S_ISFIFO(mode) or (stat.S_ISCHR(mode) and _is_terminal(path))
    except OSError:
        return False


def _is_terminal(path: Path) -> bool:
    with path.open("rb", buffering=0) as device:
        return device.isatty()


def _kept(path: Path, kept: Path) -> Path:
    try:
        with kept.open("wb") as file:
            if str(path) == _STANDARD_INPUT:
                shutil.copyfileobj(sys.stdin.buffer, file)
            else:
                with path.open("rb") as pipe:
                    shutil.copyfileobj(pipe, file)
    except OSError as error:
        raise RecordingError(
            f"{path}: cannot be read ({error.strerror or error}); save it as a file"
        ) from None
    return kept
