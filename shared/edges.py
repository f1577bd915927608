"""The process's standard streams, and system errors in one clear line.

Commands report foreseeable errors themselves, with a way out. Unforeseen errors of the system are described
here by file and cause.
"""

from __future__ import annotations

import codecs
import io
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Final, Literal, TextIO, cast

from shared.shortened import bounded
from shared.shown import shown, shown_output

_STANDARD: Final = 3  # input, output, errors
# ASCII forms of our characters, for terminals without Unicode.
_PLAIN: Final = str.maketrans(
    {"–": "-", "—": "-", "…": "...", "→": "->", "×": "x", "·": ".", "•": "*", "≥": ">=", "≤": "<=", "µ": "u"}
    | {"▲": "^", "▼": "v", "●": "*", "○": "o", "─": "-", "━": "-"}
)
_HANDLER: Final = "cryptostream.plain"


def _in_plain_signs(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    # Other characters are escaped by their number, as in JSON.
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error(_HANDLER, _in_plain_signs)


class Output:
    """A standard stream that remembers its first error, since an OSError does not name its stream.

    Text is escaped by `shared.shown`; `terminal` writes control sequences.

    Attributes:
        fault: the first error; None if there was none.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.fault: OSError | None = None

    def write(self, text: str) -> int:
        with self._remembering():
            self._stream.write(shown_output(text))
        return len(text)

    def flush(self) -> None:
        with self._remembering():
            self._stream.flush()

    @property
    def buffer(self) -> _Raw:
        return _Raw(self._stream.buffer, self._remembering)

    @property
    def terminal(self) -> _Raw:
        """The same stream without escaping, for drawing on a terminal."""
        return _Raw(self._stream, self._remembering)

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except OSError as fault:
            self.fault = self.fault or fault
            raise

    def finish(self) -> OSError | None:
        """Flush; returns the first error of the stream, if any."""
        with suppress(OSError):  # which is remembered
            if not self._stream.closed:
                self.flush()
        return self.fault

    def drop(self) -> None:
        """Redirect to the null device, so that buffered output does not fail again at the end."""
        with suppress(OSError, ValueError):  # a test's stream has no file descriptor
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Raw:
    """The underlying stream, bytes or text, without escaping."""

    def __init__(self, stream: Any, remembering: Callable[[], AbstractContextManager[None]]) -> None:
        self._stream = stream
        self._remembering = remembering

    def write(self, content: Any) -> int:
        with self._remembering():
            return int(self._stream.write(content))

    def flush(self) -> None:
        with self._remembering():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def prepared_streams() -> Iterator[Output]:
    """Make the standard streams usable, whatever the process was started with.

    `sys.stdout`, which is yielded, and `sys.stderr` become an `Output` each.

    A closed stream becomes the null device: otherwise the next opened file would take its descriptor, and
    output would go into that file. Characters that the encoding lacks are written in ASCII, and control
    characters are escaped.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) < _STANDARD:
        os.set_inheritable(number, True)
    os.close(number)
    if sys.stdin is None:
        sys.stdin = _opened(0, "r")  # empty: a file without bars
    if sys.stdout is None:
        sys.stdout = _opened(1)
    if sys.stderr is None:
        sys.stderr = _opened(2)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)
    before, output = (sys.stdout, sys.stderr), Output(sys.stdout)
    sys.stdout, sys.stderr = cast("TextIO", output), cast("TextIO", Output(sys.stderr))
    try:
        yield output
    finally:
        sys.stdout, sys.stderr = before


def _opened(number: int, mode: Literal["r", "w"] = "w") -> TextIO:
    return open(number, mode, encoding="utf-8", closefd=False)


def terminal(stream: TextIO) -> TextIO:
    """The stream to draw on: `Output.terminal`, or any other stream itself."""
    return cast("TextIO", stream.terminal) if isinstance(stream, Output) else stream


def complain(text: str) -> None:
    """Write a line to standard error, if possible."""
    with suppress(OSError, ValueError):  # full or closed
        print(bounded(shown(text)), file=sys.stderr, flush=True)  # noqa: T201


def in_words(error: BaseException) -> str | None:
    """An error of the system or a library in one clear line; None for a bug of ours."""
    said: str | None
    match error:
        case OSError():
            said = _of_system(error)
        case UnicodeError():
            said = f"a text is not in the encoding it should have ({_short(error)}); see arguments and files"
        case MemoryError():
            said = "memory: there is not enough; ask for less at once, or give this process more"
        case RuntimeError() if "start new thread" in str(error):
            said = "threads: the system allows this user no more; end other processes, or raise the limit"
        case sqlite3.Error():
            said = f"SQLite: {_short(error)}; see SQLITE_PATH and the disk it is on"
        case ImportError():
            said = f"{error.name or 'a library'} is not here ({_short(error)}); install it by: make setup"
        case _:
            said = _of_kafka(error)
    return said


def _of_system(error: OSError) -> str:
    reason = error.strerror or _short(error)
    if error.filename is not None:
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else error.filename
        return f"{name}: {reason}; see that it is there, may be used, and has room"
    if isinstance(error, FileNotFoundError):  # without a file name only this can be missing
        return f"the working directory is gone ({reason}); change to one that is there"
    if isinstance(error, ConnectionError | TimeoutError):
        return f"a connection failed ({reason}); see that the servers in the settings are up"
    return f"the system refuses ({reason}); see disk, memory and limits of this process"


def _of_kafka(error: BaseException) -> str | None:
    # Not imported: not every command needs Kafka's library, and if it is not loaded, it raised nothing.
    library = sys.modules.get("confluent_kafka")
    if library is None or not isinstance(error, library.KafkaException):
        return None
    said = error.args[0] if error.args else error
    reason = said.str() if hasattr(said, "str") else str(said)
    return f"Kafka: {reason}; see KAFKA_BOOTSTRAP_SERVERS and the broker's log"


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
