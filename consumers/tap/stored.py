"""The store's rows for taps: at once, or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Final

from consumers.stores.port import Reader, Row
from shared.errors import SettingsError, StoreError

log: Final = logging.getLogger(__name__)

# A store that hangs holds no more threads than these.
_THREADS: Final = 2


class StoredRows:
    """Reads by a `Reader` in threads of its own.

    Args:
        open_reader: None if there is no store.
    """

    def __init__(self, open_reader: Callable[[], Reader] | None) -> None:
        self._open_reader = open_reader
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="tap-store")

    def rows(
        self, measurement: str, tags: Mapping[str, str], span: tuple[int | None, int | None], within_s: float
    ) -> list[Row] | None:
        """Rows in ascending time; None if the store does not answer in time.

        Args:
            span: [from_ns, to_ns).
        """
        if self._open_reader is None:
            return None
        reading = self._pool.submit(self._read, self._open_reader, measurement, tags, span)
        try:
            return reading.result(within_s)
        except TimeoutError:
            reading.cancel()
            return None
        except (StoreError, SettingsError) as error:
            log.info("a chart begins without stored rows of %s: %s", measurement, error)
            return None

    def close(self) -> None:
        """Waits for the reads under way."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    @staticmethod
    def _read(
        open_reader: Callable[[], Reader],
        measurement: str,
        tags: Mapping[str, str],
        span: tuple[int | None, int | None],
    ) -> list[Row]:
        from_ns, to_ns = span
        with closing(open_reader()) as reader:
            return list(reader.read(measurement, tags, from_ns=from_ns, to_ns=to_ns))
