"""A disk that gets full: a warning, a pause, and on again."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumers.stores.disk import PAUSE_BYTES, WARN_BYTES, DiskGuard, Space
from shared.errors import StoreUnavailable

TOTAL = 30 * 10**9


class Disk:
    """A disk and a clock, both set by the test; counts how often it is looked at."""

    def __init__(self) -> None:
        self.free, self.total, self.now, self.looks = TOTAL, TOTAL, 100.0, 0
        self.guard = DiskGuard(Path("/disk"), space=self.space, clock=lambda: self.now)

    def space(self, path: Path) -> Space:
        self.looks += 1
        return Space(self.total, self.free)

    def after_a_second(self, free: int) -> None:
        self.now += 1.0
        self.free = free
        self.guard.require_space()


def test_a_low_disk_warns_once_until_there_was_room_again(caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    disk.after_a_second(WARN_BYTES)
    assert caplog.text == ""
    for free in (WARN_BYTES - 1, PAUSE_BYTES, WARN_BYTES - 1):
        disk.after_a_second(free)
    assert caplog.text.count("the disk under /disk has 2,000 MB free of 30,000 MB") == 1
    disk.after_a_second(TOTAL)
    disk.after_a_second(WARN_BYTES - 1)
    assert caplog.text.count("WARNING") == 2


def test_a_twentieth_of_a_large_disk_is_low_too(caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    disk.total = 100 * 10**9
    disk.after_a_second(disk.total // 20 - 1)
    assert "WARNING" in caplog.text


def test_a_nearly_full_disk_refuses_in_one_clear_line_and_goes_on_by_itself() -> None:
    disk = Disk()
    with pytest.raises(
        StoreUnavailable, match=r"^SQLITE_PATH: the disk under /disk has 500 MB free, .*free some"
    ) as e:
        disk.after_a_second(PAUSE_BYTES - 1)
    assert e.value.retry_after is not None
    assert "\n" not in str(e.value)
    disk.after_a_second(PAUSE_BYTES)


def test_it_looks_at_most_once_a_second() -> None:
    disk = Disk()
    for _ in range(50):
        disk.now += 0.1
        disk.guard.require_space()
    assert disk.looks <= 6


def test_a_disk_that_does_not_tell_is_left_to_the_write(tmp_path: Path) -> None:
    DiskGuard(tmp_path / "is" / "not" / "there").require_space()
    DiskGuard(tmp_path, pause_bytes=1).require_space()
