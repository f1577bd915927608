"""What a process asks of Python and of the C library."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Each thread takes memory of its own before the others do; a heap of its own would be 64 MB of addresses.
_THREADS = """
import ctypes, threading
from shared.interpreter import share_one_heap
if {shared}:
    share_one_heap()
malloc = ctypes.CDLL(None).malloc
malloc.restype, malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
together = threading.Barrier(12)
addresses = []
def take():
    together.wait()
    addresses.append(malloc(4_096))
    together.wait()
threads = [threading.Thread(target=take) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
heap = next(line.split()[0] for line in open("/proc/self/maps") if "[heap]" in line)
first, last = (int(bound, 16) for bound in heap.split("-"))
print(sum(first <= address < last for address in addresses))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps of threads are glibc's")
@pytest.mark.parametrize(("shared", "in_heap"), [(False, 0), (True, 12)])
def test_threads_allocate_from_one_heap(shared: bool, in_heap: int) -> None:
    said = subprocess.run(
        [sys.executable, "-c", _THREADS.format(shared=shared)], capture_output=True, check=True, timeout=60
    )
    assert int(said.stdout) == in_heap


# What was freed lies below a block that lives.
_FREED = """
import ctypes
from shared.interpreter import give_back
def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
malloc.restype, malloc.argtypes, free.argtypes = ctypes.c_void_p, (ctypes.c_size_t,), (ctypes.c_void_p,)
blocks = [malloc(100_000) for _ in range(200)]
for block in blocks:
    ctypes.memset(block, 1, 100_000)
malloc(100_000)
for block in blocks:
    free(block)
before = resident()
if {given_back}:
    give_back()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the heap is glibc's")
@pytest.mark.parametrize("given_back", [False, True])
def test_what_was_freed_goes_back_to_the_system(given_back: bool) -> None:
    said = subprocess.run(
        [sys.executable, "-c", _FREED.format(given_back=given_back)],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert (int(said.stdout) > 15_000) == given_back
