"""Files that are read whole, and what is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.small_files import read_small_file


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
