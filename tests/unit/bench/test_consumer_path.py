"""What a consumer takes is counted from the end of its start on, and not from its first points."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.consumer_path import started

_PROGRAM = """
import sys, time
while time.process_time() < 0.4:
    sum(range(1000))
print(time.process_time(), flush=True)
sys.stdin.read()
"""


def test_a_process_has_started_when_it_waits() -> None:
    command = [sys.executable, "-c", _PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        before = started(process)
        assert abs(before - float(process.stdout.readline())) < 0.05
        process.stdin.close()


def test_one_that_ends_instead_is_no_result() -> None:
    with (
        subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as process,
        pytest.raises(SystemExit, match="ended with 3"),
    ):
        started(process)
