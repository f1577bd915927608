"""Python itself in a process that handles messages: its garbage collector, its lock and its memory."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Final

# A tenth of the usual time.
_SWITCH_S: Final = 0.000_5
_M_ARENA_MAX: Final = -8  # of glibc's malloc.h


def spare_the_collector() -> None:
    """Keep the garbage collector away from what lives as long as the process; call it once that is there.

    Messages die by reference count; the collector only walks the libraries' objects again and again, which
    cost a tenth of the processor time per message in the producer benchmark.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def hand_over_sooner() -> None:
    """Let a thread that waits for a socket go on soon after the answer has come.

    It needs the interpreter's lock, which a computing thread keeps for 5 ms at a time: a request to
    the store took several of these, and a sixth fewer points a second were written.
    """
    sys.setswitchinterval(_SWITCH_S)


def share_one_heap() -> None:
    """Let all threads allocate from one heap; call it before there are any. Elsewhere than on glibc: nothing.

    glibc gives each thread a heap of its own, and what one has freed the others cannot use: of the dozen
    threads of librdkafka's clients each kept the most that it had ever needed, some 30 MB together.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Return to the system what was freed; call it after much was. Elsewhere than on glibc: nothing.

    glibc keeps what lies between blocks that live: of records that were read at the start some 10 MB.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
