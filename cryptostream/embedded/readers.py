"""Readers of the run's store that wait once for one that is silent, and not once for each question."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from consumers.stores.port import Reader, Row
from shared.errors import StoreUnavailable

# A frozen InfluxDB costs half a minute a question, and the end of a run has dozens.
_SILENT_S: Final = 60.0


class Readers:
    """Opens readers; for a minute after one had no answer all of them say so at once.

    Args:
        open_reader: opens one; each has its own connection.
        clock_s: seconds of a clock that is never set.
    """

    def __init__(
        self, open_reader: Callable[[], Reader], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._open = open_reader
        self._clock_s = clock_s
        self._silent: tuple[float, StoreUnavailable] | None = None

    def __call__(self) -> Reader:
        """Raises: StoreUnavailable, StoreMisconfigured, as `open_reader`."""
        self.require_answering()
        try:
            return _Watched(self._open(), self)
        except StoreUnavailable as error:
            self.note_silence(error)
            raise

    def require_answering(self) -> None:
        """Raises: StoreUnavailable: the store did not answer lately."""
        if self._silent is not None and self._clock_s() - self._silent[0] < _SILENT_S:
            raise StoreUnavailable(str(self._silent[1]))

    def note_silence(self, error: StoreUnavailable) -> None:
        self._silent = self._clock_s(), error


class _Watched:
    """A reader whose owner hears of silence."""

    def __init__(self, reader: Reader, owner: Readers) -> None:
        self._reader = reader
        self._owner = owner

    def read(self, measurement: str, tags: Mapping[str, str], **limits: Any) -> Iterator[Row]:
        self._owner.require_answering()
        try:
            yield from self._reader.read(measurement, tags, **limits)
        except StoreUnavailable as error:
            self._owner.note_silence(error)
            raise

    def close(self) -> None:
        self._reader.close()
