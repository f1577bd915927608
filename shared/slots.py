"""Slots: stable names for replicas of a service, with a count of their starts."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO, Final

from shared.errors import SettingsError

_MOST: Final = 64  # far more than there are partitions


class Slot:
    """The first free slot of a service, held by a lock on a file until the process ends.

    A restarted replica takes a slot that became free, so that the number of names stays bounded.

    Args:
        folder: on a disk that all replicas share, for example a volume.

    Raises:
        SettingsError: the folder cannot be used.
    """

    def __init__(self, folder: Path, service: str) -> None:
        self.name, self._file = _take(folder, service)

    def release(self) -> None:
        """Release the lock."""
        self._file.close()


def count_start(folder: Path, service: str, instance: str) -> int:
    """Count one more start of a service's instance; returns the number of earlier ones.

    Starts after an orderly stop and after a crash count alike: the process cannot distinguish them.

    Args:
        folder: of the slots.

    Raises:
        SettingsError: the folder cannot be used.
    """
    try:
        with (folder / f"{service}.{instance}.starts").open("a+", encoding="ascii", errors="replace") as file:
            # Two processes may share a name by mistake: each start counts.
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            text = file.read()
            # A power cut may have left no number: the count restarts.
            before = int(text) if text.isdecimal() else 0
            file.truncate(0)
            file.write(str(before + 1))
    except OSError as error:
        raise _unusable(folder, error) from None
    return before


def _take(folder: Path, service: str) -> tuple[str, IO[str]]:
    try:
        for number in range(_MOST):
            file = (folder / f"{service}.{number}").open("a")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
            else:
                return str(number), file
    except OSError as error:
        raise _unusable(folder, error) from None
    raise SettingsError(f"INSTANCE_SLOTS: all {_MOST} slots of {service} are taken in {folder}; run fewer")


def _unusable(folder: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"INSTANCE_SLOTS: {folder} cannot be used ({error.strerror}); name a folder that can be written, "
        "or leave it out and name this process by INSTANCE"
    )
