"""Rows seen in the store while a run went on: at its end they must be there still. Pure but for the `Reader`.

The ledger knows what was stored, not whether the store is the same one at the end: a file may be removed, a
bucket emptied and made anew, an older backup restored, another server take the address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from consumers.measurements import KLINE, MEASUREMENTS, TRADE
from consumers.stores.expiry import TICKS_EXPIRY_NS
from consumers.stores.port import Reader, Row

# The oldest, the newest and two between tell at what time a store began anew.
_OF_A_SERIES: Final = 4
# Some queries of a few milliseconds each at the end of a run.
_MOST_SERIES: Final = 40
_SEEN: Final = frozenset((KLINE.name, TRADE.name))
# Those about to expire may be gone when they are looked for.
_KEPT_NS: Final = TICKS_EXPIRY_NS - 86_400 * 10**9


class Sighting(NamedTuple):
    """One row: its measurement, tags and time."""

    measurement: str
    tags: tuple[str, ...]
    time_ns: int

    def __str__(self) -> str:
        return f"{self.measurement} {' '.join(self.tags[1:])} of {self.time_ns // 1_000_000} ms"


class Sightings:
    """A few rows of each series, spread over the run."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, tuple[str, ...]], list[int]] = {}
        self._every: dict[tuple[str, tuple[str, ...]], int] = {}

    def receive(self, measurement: str, row: Row) -> None:
        """This row is in the store."""
        if measurement not in _SEEN:
            return
        tags = tuple(str(row.get(name) or "") for name in MEASUREMENTS[measurement].tags)
        series, time_ns = (measurement, tags), int(row["time_ns"] or 0)
        times = self._times.get(series)
        if times is None:
            if len(self._times) < _MOST_SERIES:
                self._times[series] = [time_ns]
            return
        if time_ns <= times[-1]:
            return
        # Twice as far apart each time that there are too many: the first stays.
        apart_ns = self._every.get(series, 0)
        if time_ns - times[-1] < apart_ns:
            return
        times.append(time_ns)
        if len(times) > _OF_A_SERIES:
            self._every[series] = max(2 * apart_ns, (times[-1] - times[0]) // _OF_A_SERIES)
            del times[1::2]

    def all(self) -> list[Sighting]:
        """Those that the store must have."""
        newest_ns = max((times[-1] for times in self._times.values()), default=0)
        found = [Sighting(*series, time_ns) for series, times in self._times.items() for time_ns in times]
        return [seen for seen in found if not _expires(seen) or seen.time_ns > newest_ns - _KEPT_NS]

    def gone(self, reader: Reader) -> list[Sighting]:
        """Those that it has no more.

        Raises:
            StoreError: it cannot be read.
        """
        return [seen for seen in self.all() if not any(_read(reader, seen))]


def fault_of(gone: Iterable[Sighting], looked_for: int) -> str | None:
    """One line about rows that are gone; None if none is."""
    missing = sorted(gone, key=lambda seen: seen.time_ns)
    if not missing:
        return None
    return (
        f"the store has {len(missing)} of {looked_for} rows no more that were seen in it during this run, "
        f"the oldest {missing[0]}: emptied, replaced or restored (`cryptostream ledger --verify` counts it)"
    )


def _expires(seen: Sighting) -> bool:
    return MEASUREMENTS[seen.measurement].bucket(seen.tags) == "ticks"


def _read(reader: Reader, seen: Sighting) -> Iterable[Row]:
    tags: Mapping[str, str] = dict(zip(MEASUREMENTS[seen.measurement].tags, seen.tags, strict=True))
    return reader.read(seen.measurement, tags, from_ns=seen.time_ns, to_ns=seen.time_ns + 1)
