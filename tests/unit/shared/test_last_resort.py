"""A call that never returns and keeps the interpreter's lock ends its process all the same."""

from __future__ import annotations

import subprocess
import sys
import time

# PyDLL keeps the lock during the call, as librdkafka's binding does.
_HOLDS = """
import ctypes, time
from shared.last_resort import ended_after
with ended_after({seconds}):
    ctypes.PyDLL(None).usleep({micros})
print("through")
"""


def run(seconds: float, micros: int) -> tuple[int, str, str]:
    code = _HOLDS.format(seconds=seconds, micros=micros)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_a_process_that_holds_its_lock_for_ever_ends_and_says_where() -> None:
    began_s = time.monotonic()
    code, out, err = run(0.3, 30_000_000)
    assert (code, out) == (1, "")
    assert "Timeout" in err
    assert time.monotonic() - began_s < 25


def test_what_returns_in_time_goes_on() -> None:
    assert run(30.0, 1_000)[:2] == (0, "through\n")
