"""A stable name for each replica of a service: the first slot that no other one holds."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO, Final

from shared.errors import SettingsError

_MOST: Final = 64  # far more than there are partitions


class Slot:
    """A slot of a service, held by a lock on a file until the process ends, however it ends.

    A replica that is started again takes the slot that became free: names do not grow in number.

    Args:
        folder: on a disk that all replicas share, a volume for example.

    Raises:
        SettingsError: the folder cannot be used.
    """

    def __init__(self, folder: Path, service: str) -> None:
        self.name, self._file = _take(folder, service)

    def release(self) -> None:
        """Give it back."""
        self._file.close()


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
        raise SettingsError(
            f"INSTANCE_SLOTS: {folder} cannot be used ({error.strerror}); name a folder that can be written, "
            "or name this process by INSTANCE"
        ) from None
    raise SettingsError(f"INSTANCE_SLOTS: all {_MOST} slots of {service} are taken in {folder}; run fewer")
