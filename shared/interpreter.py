"""Tuning of the Python process for messages: garbage collector, interpreter lock, memory."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Final

# A tenth of the usual time.
_SWITCH_S: Final = 0.000_5
_M_ARENA_MAX: Final = -8  # of glibc's malloc.h


def freeze_gc() -> None:
    """Exempt the present objects from garbage collection; call it once the long-lived ones exist.

    Messages are freed by reference count; the collector only traverses the libraries' objects repeatedly,
    which cost a tenth of the CPU time per message in the producer benchmark.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def shorten_switch_interval() -> None:
    """Let a thread that waits for a socket resume soon after its answer.

    It needs the interpreter's lock, which a computing thread holds for 5 ms at a time by default: a request
    to the store took several such waits, and a sixth fewer points a second were written.
    """
    sys.setswitchinterval(_SWITCH_S)


def share_one_heap() -> None:
    """Let all threads allocate from one heap (glibc only); call it before any thread starts.

    glibc gives each thread a heap of its own, whose freed memory the others cannot use: the dozen threads of
    librdkafka's clients each kept their peak, some 30 MB together.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Return freed memory to the system (glibc only); call it after much was freed.

    glibc keeps free memory between live blocks: some 10 MB of the records read at the start.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
