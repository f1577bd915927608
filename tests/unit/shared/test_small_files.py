"""Files that are read whole, and what is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.small_files import read_named_file, read_small_file


def test_a_file_is_read_whole_through_links_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)
    (tmp_path / "link").symlink_to("file")
    assert read_small_file(tmp_path / "link", 10) == b"x" * 10
    with pytest.raises(OSError, match="longer than 9 bytes"):
        read_small_file(tmp_path / "file", 9)


def test_nothing_is_waited_for_and_nothing_read_without_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name in ("pipe", "endless"):
        with pytest.raises(OSError, match="a pipe or a device"):
            read_small_file(tmp_path / name, 10)
    with pytest.raises(IsADirectoryError):
        read_small_file(tmp_path, 10)
    with pytest.raises(FileNotFoundError):
        read_small_file(tmp_path / "none", 10)


def test_of_what_a_user_names_no_more_is_read_than_fits(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)
    assert read_named_file(tmp_path / "file", 10) == b"x" * 10
    with pytest.raises(OSError, match="longer than 1,000 bytes"):
        read_named_file(Path("/dev/zero"), 1_000)


def test_what_a_user_names_may_be_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDWR)  # both ends: neither opening waits
    try:
        os.write(end, b"x" * 9)
        with pytest.raises(OSError, match="longer than 8 bytes"):
            read_named_file(pipe, 8)
    finally:
        os.close(end)
