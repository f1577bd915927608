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
