"""Pipes are files that can be read again."""

from __future__ import annotations

import io
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from shared.pipes import Readable, readable


def test_a_file_is_read_where_it_lies_and_one_that_is_not_there_is_left_to_its_reader(tmp_path: Path) -> None:
    (there := tmp_path / "a.csv").write_text("a")
    nowhere = tmp_path / "nowhere.csv"
    with readable([there, nowhere]) as files:
        assert files == [Readable(there, str(there)), Readable(nowhere, str(nowhere))]


def test_what_a_pipe_gives_can_be_read_twice_and_is_gone_afterwards(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"bars" * 50_000,))
    writer.start()
    with readable([pipe]) as [file]:
        assert [file.path.read_bytes(), file.path.read_bytes()] == [b"bars" * 50_000] * 2
        assert file.shown == str(pipe)
    writer.join()
    assert not file.path.exists()


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"bars")))
    with readable([Path("-")]) as [file]:
        assert (file.path.read_bytes(), file.shown) == (b"bars", "-")


def test_a_device_that_never_ends_is_not_read_to_its_end() -> None:
    with readable([Path("/dev/zero")]) as [file]:
        assert file.path == Path("/dev/zero")


def test_checksums_that_a_pattern_names_along_are_left_out(tmp_path: Path) -> None:
    archive, checksum = tmp_path / "a-1h-2023-11.zip", tmp_path / "a-1h-2023-11.zip.CHECKSUM"
    with readable([archive, checksum, tmp_path / "._a-1h-2023-11.zip"]) as files:
        assert [file.path for file in files] == [archive]
    with readable([checksum]) as files:
        assert [file.path for file in files] == [checksum]
