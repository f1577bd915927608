from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from consumers.stores.sqlite import SqliteStore
from shared.command import guarded
from shared.errors import StoreMisconfigured
from shared.private_files import make_private, narrow


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

    assert guarded(work) == 0
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
