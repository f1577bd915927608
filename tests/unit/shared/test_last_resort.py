"""A call that never returns and keeps the interpreter's lock ends its process all the same."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from shared.last_resort import end_in_words

# PyDLL keeps the lock during the call, as librdkafka's binding does.
_HOLDS = """
import ctypes, time
from shared.last_resort import ended_after
with ended_after({seconds}):
    ctypes.PyDLL(None).usleep({micros})
print("through")
"""


def stuck_for(seconds: str) -> str:
    return f"a library's call blocked it for {seconds} s, so that it ended itself; its log shows where"


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
    assert [words for words in map(end_in_words, err.splitlines()) if words is not None] == [stuck_for("0.3")]
    assert time.monotonic() - began_s < 25


def test_what_returns_in_time_goes_on() -> None:
    assert run(30.0, 1_000)[:2] == (0, "through\n")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Timeout (0:00:20)!", stuck_for("20")),
        ("Timeout (1:02:03.500000)!", stuck_for("3723.5")),
        (
            "Fatal Python error: Segmentation fault",
            "Python itself failed: Segmentation fault; its log shows where",
        ),
        ('  File "<frozen runpy>", line 198 in _run_module_as_main', None),
        ("12:00:00 WARNING x: Timeout (0:00:20)!", None),
    ],
)
def test_how_such_an_end_begins_is_known_and_told_in_words(line: str, words: str | None) -> None:
    assert end_in_words(line) == words
