"""Ends a process that nothing in Python can end any more."""

from __future__ import annotations

import faulthandler
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_lock: Final = threading.Lock()
_inside: Final[set[int]] = set()


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """End the process with exit code 1, and say on stderr where it was, if the block takes longer.

    For calls that may keep the interpreter's lock for ever: no thread, signal or time-out of Python's gets
    through to them. librdkafka's `close` is one, in a group that broke off (its issues 4041, 4884). Blocks of
    several threads may overlap; the last one to begin sets the time.
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
