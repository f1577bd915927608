"""What every landing promises; run on each adapter."""

from __future__ import annotations

import threading

import pytest

from pipelines.snapshots.landing.port import Conflict, Landing


class LandingContract:
    """Subclasses give the fixture `landing`: an empty one."""

    def test_what_is_not_there_is_none_and_folders_need_not_exist(self, landing: Landing) -> None:
        assert landing.read("a/b") is None
        assert landing.names("a") == []
        landing.delete("a/b")

    def test_a_blob_is_read_as_it_was_written(self, landing: Landing) -> None:
        landing.write("a/exchange=x/b.parquet", b"one", None)
        blob = landing.read("a/exchange=x/b.parquet")
        assert blob is not None and blob.content == b"one"
        landing.write("a/exchange=x/empty", b"", None)
        assert landing.names("a/exchange=x") == ["b.parquet", "empty"]

    def test_names_are_those_directly_in_a_folder(self, landing: Landing) -> None:
        for name in ("a/2", "a/1", "a/deep/3", "ab/4"):
            landing.write(name, b"x", None)
        assert landing.names("a") == ["1", "2"]

    def test_what_is_there_is_not_created_again(self, landing: Landing) -> None:
        landing.write("a/b", b"one", None)
        with pytest.raises(Conflict):
            landing.write("a/b", b"two", None)
        blob = landing.read("a/b")
        assert blob is not None and blob.content == b"one"

    def test_only_the_version_that_was_read_is_replaced(self, landing: Landing) -> None:
        landing.write("a/b", b"one", None)
        first = landing.read("a/b")
        assert first is not None
        landing.write("a/b", b"two", first.version)
        with pytest.raises(Conflict):
            landing.write("a/b", b"three", first.version)
        with pytest.raises(Conflict):
            landing.delete("a/b", first.version)
        second = landing.read("a/b")
        assert second is not None and second.content == b"two"
        landing.delete("a/b", second.version)
        assert landing.read("a/b") is None

    def test_a_replacement_of_what_is_gone_is_a_conflict(self, landing: Landing) -> None:
        landing.write("a/b", b"one", None)
        blob = landing.read("a/b")
        assert blob is not None
        landing.delete("a/b")
        with pytest.raises(Conflict):
            landing.write("a/b", b"two", blob.version)

    def test_of_writers_at_once_none_overwrites_another(self, landing: Landing) -> None:
        """Each adds its line by read, merge, compare and swap: at the end all lines are there."""

        def add(number: int) -> None:
            while True:
                blob = landing.read("a/lines")
                lines = blob.content if blob else b""
                try:
                    landing.write("a/lines", lines + b"%d\n" % number, blob.version if blob else None)
                except Conflict:
                    continue
                return

        threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        blob = landing.read("a/lines")
        assert blob is not None and sorted(blob.content.split()) == [b"%d" % number for number in range(8)]
