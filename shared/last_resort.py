"""Ends a process whose interpreter is blocked."""

from __future__ import annotations

import faulthandler
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_lock: Final = threading.Lock()
_inside: Final[set[int]] = set()
# How a dump of all frames begins (CPython's Modules/faulthandler.c and Python/pylifecycle.c).
_TIMEOUT: Final = re.compile(r"Timeout \((\d+):(\d\d):(\d\d(?:\.\d+)?)\)!")
_FATAL: Final = re.compile(r"Fatal Python error: (.+)")


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """End the process with exit code 1 and a stack dump on stderr if the block takes longer.

    For calls that may hold the interpreter's lock for ever, so that no thread, signal or time-out of Python
    can interrupt them, like librdkafka's `close` in a broken group (its issues 4041, 4884). Blocks of several
    threads may overlap; the last one to begin sets the time.
    """
    with _lock:
        _inside.add(threading.get_ident())
        faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or 2)
    try:
        yield
    finally:
        with _lock:
            _inside.discard(threading.get_ident())
            if not _inside:
                faulthandler.cancel_dump_traceback_later()


def end_in_words(line: str) -> str | None:
    """Why a process ended, by the first line of a stack dump on its standard error; None for other lines.

    No Python of ours can write such a line: the interpreter is blocked by then.
    """
    timeout = _TIMEOUT.fullmatch(line)
    if timeout is not None:
        hours, minutes, seconds = timeout.groups()
        waited_s = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        return f"a library's call blocked it for {waited_s:g} s, so that it ended itself; its log shows where"
    fatal = _FATAL.fullmatch(line)
    return f"Python itself failed: {fatal[1]}; its log shows where" if fatal is not None else None
