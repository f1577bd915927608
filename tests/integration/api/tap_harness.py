"""What a viewer of taps has received."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from consumers.stores.sqlite_reader import SqliteReader
from consumers.tap.port import Arrived, Condition, Event, Fetched, Filled, LiveRow
from consumers.tap.series import LiveSeries
from consumers.tap.taps import KafkaTaps, open_taps
from shared.settings import Settings
from tests.integration.consumer_harness import until


class Viewer:
    """Merges events as a client does: rows by their time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.events: list[Event] = []
        self.failures: list[BaseException] = []

    def receive(self, events: Sequence[Event]) -> None:
        with self._lock:
            self.events += events

    def of(self, kind: type[Any]) -> list[Any]:
        with self._lock:
            return [event for event in self.events if isinstance(event, kind)]

    def filled(self, series: LiveSeries) -> list[Filled]:
        return [event for event in self.of(Filled) if event.series == series]

    def arrived(self, series: LiveSeries) -> list[Arrived]:
        return [event for event in self.of(Arrived) if event.series == series]

    def rows(self, series: LiveSeries) -> list[LiveRow]:
        """All rows since the series began (anew) for the last time, in the order they came."""
        rows: list[LiveRow] = []
        with self._lock:
            for event in self.events:
                if isinstance(event, Filled) and event.series == series:
                    rows = list(event.rows)
                elif isinstance(event, Arrived) and event.series == series:
                    rows += event.rows
        return rows

    def newest(self, series: LiveSeries) -> tuple[Any, ...]:
        """Values of the newest row."""
        return self.rows(series)[-1].values

    def column(self, series: LiveSeries, position: int) -> list[Any]:
        return [row.values[position] for row in self.rows(series)]

    def values(self, series: LiveSeries) -> dict[int, tuple[Any, ...]]:
        return {row.time_ns: row.values for row in self.rows(series)}

    def conditions(self) -> list[str | None]:
        return [event.away for event in self.of(Condition)]

    def fetched(self, request: int) -> Fetched | None:
        return next((event for event in self.of(Fetched) if event.request == request), None)

    def await_filled(self, *series: LiveSeries) -> None:
        until(lambda: self.failures or all(self.filled(one) for one in series), f"{series} to be filled")
        assert not self.failures, self.failures


def taps_for(
    address: str,
    viewer: Viewer,
    *,
    store: Path | None = None,
    memory: bool = False,
    rebuild: bool = False,
    **more: Any,
) -> KafkaTaps:
    return open_taps(
        Settings(**({"intervals": ("1m",), "kafka_bootstrap_servers": address} | more)),
        memory_broker=memory,
        open_reader=None if store is None else lambda: SqliteReader(store),
        rebuild_from_store=rebuild,
        on_events=viewer.receive,
        on_failure=viewer.failures.append,
    )


@contextmanager
def viewing(address: str, **given: Any) -> Iterator[tuple[KafkaTaps, Viewer]]:
    """Started taps on a broker; closed at the end, and none of their threads is left."""
    viewer = Viewer()
    taps = taps_for(address, viewer, **given)
    taps.start()
    try:
        yield taps, viewer
    finally:
        taps.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("tap-")]
    assert not viewer.failures
