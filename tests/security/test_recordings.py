"""Recordings made to fill the memory: a thousand times their size, as one line or as many."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.integration

MIB = 2**20
# What a command takes by itself is about 60 MiB.
MOST_KIB = 200 * 1024
FRAME = (
    b'{"stream":"xusd@trade","data":'
    b'{"e":"trade","E":1700000000000,"s":"XUSD","t":1,"p":"2.0","q":"3.0","T":1700000000000,"m":true}}\n'
)


def endless(path: Path, before: bytes = b"") -> Path:
    """A gigabyte without an end of line, in members of 16 MiB, after some that is whole."""
    path.write_bytes(gzip.compress(before) + gzip.compress(b"1" * 16 * MIB) * 64)
    return path


def endless_zip(path: Path) -> Path:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
        packed.open("frames.jsonl", "w") as member,
    ):
        for _ in range(256):
            member.write(b"1" * MIB)
    return path


# Linux counts to a process what the one that forked it had: a small one stands between this one and it.
MEASURING = """
import os, subprocess, sys
process = subprocess.Popen([sys.executable, "-m", "cryptostream.cli", *sys.argv[2:]])
_, status, usage = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as file:
    print(usage.ru_maxrss, file=file)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def ended(tmp_path: Path, *words: str) -> tuple[int, str, int]:
    """Exit code, what was said, and the largest memory of it or of what it has started, KiB."""
    most = tmp_path / "most"
    done = subprocess.run(
        [sys.executable, "-c", MEASURING, str(most), *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, int(most.read_text())


COMMANDS = {
    "simulate": ("simulate", "--replay", "{}"),
    "run": (
        *("run", "--source", "{}", "--broker", "memory", "--store", "sqlite"),
        *("--data-dir", "data", "--no-ui", "--duration", "60"),
    ),
    "indicators": ("indicators", "{}"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("kind", ["gzip", "after two frames", "zip"])
def test_a_line_without_an_end_is_told_by_file_and_number(
    tmp_path: Path, command: tuple[str, ...], kind: str
) -> None:
    before = b"" if kind == "gzip" else FRAME * 2
    path = endless_zip(tmp_path / "f.zip") if kind == "zip" else endless(tmp_path / "f.gz", before)
    code, said, kib = ended(tmp_path, *(word.format(path) for word in command))
    assert code in (1, 2) and "Traceback" not in said and "unexpected" not in said, said
    assert str(path) in said, said
    if not (command[0] == "indicators" and kind == "after two frames"):  # which is refused at its first line
        assert f"line {3 if kind == 'after two frames' else 1}: longer than" in said, said
    assert kib < MOST_KIB


@pytest.mark.parametrize("content", [b"\n", b" \n", b'{"stream":"\n'], ids=["empty", "blank", "torn"])
def test_millions_of_lines_of_nothing_take_no_memory(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lines.gz"
    path.write_bytes(gzip.compress(content * (4 * MIB // len(content))) * 4)
    code, said, kib = ended(tmp_path, "simulate", "--replay", str(path))
    assert code == 2 and str(path) in said, said
    assert kib < MOST_KIB
