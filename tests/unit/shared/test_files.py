"""Files for their owner alone, and files that are read whole."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from consumers.stores.sqlite import SqliteStore
from shared.command import run_command
from shared.errors import StoreMisconfigured
from shared.files import make_private, narrow, read_named_file, read_small_file


@pytest.fixture(autouse=True)
def generous_umask() -> Iterator[None]:
    """As a user's shell may have it."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_a_command_makes_is_its_users_alone(tmp_path: Path) -> None:
    def work() -> int:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "file").write_text("kept")
        return 0

    assert run_command(work) == 0
    assert (mode(tmp_path / "folder"), mode(tmp_path / "folder" / "file")) == (0o700, 0o600)


def test_a_file_is_private_from_its_first_moment_and_an_old_one_is_narrowed(tmp_path: Path) -> None:
    make_private(tmp_path / "new")
    (tmp_path / "old").write_text("kept")
    make_private(tmp_path / "old")
    assert (mode(tmp_path / "new"), mode(tmp_path / "old")) == (0o600, 0o600)
    assert (tmp_path / "old").read_text() == "kept"
    tmp_path.joinpath("folder").mkdir()
    narrow(tmp_path / "folder")
    narrow(tmp_path / "missing")
    assert mode(tmp_path / "folder") == 0o700


def test_the_store_and_its_companions_are_their_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "store.db"
    path.parent.mkdir()
    for _ in range(2):  # new, then of an older version
        with closing(SqliteStore(path)):
            found = sorted(path.parent.iterdir())
            assert [file.name for file in found] == ["store.db", "store.db-shm", "store.db-wal"]
            assert {file.name: mode(file) for file in found} == {file.name: 0o600 for file in found}
        for file in path.parent.iterdir():
            file.chmod(0o644)


def test_another_programs_database_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (word TEXT)")
    with pytest.raises(StoreMisconfigured):
        SqliteStore(path)
    assert mode(path) == 0o644


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
