"""Samples of rows that were stored during a run and must be there at its end. Pure but for the `Reader`.

The ledger knows what was stored, not whether the store is still the same: a file may be removed, a bucket
emptied, an older backup restored, another server take over the address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from consumers.measurements import KLINE, MEASUREMENTS, TRADE
from consumers.stores.port import Reader, Row
from consumers.stores.storable import TICKS_EXPIRY_NS

# The oldest, the newest and two between show when a store began anew.
_OF_A_SERIES: Final = 4
# Each costs queries of a few milliseconds at the end of a run.
_MOST_SERIES: Final = 40
_SEEN: Final = frozenset((KLINE.name, TRADE.name))
# Rows about to expire may be gone when they are read again.
_KEPT_NS: Final = TICKS_EXPIRY_NS - 86_400 * 10**9


class SampledRow(NamedTuple):
    """One row: its measurement, tags and time."""

    measurement: str
    tags: tuple[str, ...]
    time_ns: int

    def __str__(self) -> str:
        return f"{self.measurement} {' '.join(self.tags[1:])} of {self.time_ns // 1_000_000} ms"


class RowSamples:
    """A few rows of each series, spread over the run."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, tuple[str, ...]], list[int]] = {}
        self._every: dict[tuple[str, tuple[str, ...]], int] = {}

    def receive(self, measurement: str, row: Row) -> None:
        """Consider a row that is in the store."""
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
        # The distance doubles each time that there are too many; the first one stays.
        apart_ns = self._every.get(series, 0)
        if time_ns - times[-1] < apart_ns:
            return
        times.append(time_ns)
        if len(times) > _OF_A_SERIES:
            self._every[series] = max(2 * apart_ns, (times[-1] - times[0]) // _OF_A_SERIES)
            del times[1::2]

    def all(self) -> list[SampledRow]:
        """The samples that the store must have."""
        newest_ns = max((times[-1] for times in self._times.values()), default=0)
        found = [SampledRow(*series, time_ns) for series, times in self._times.items() for time_ns in times]
        return [
            seen
            for seen in found
            if MEASUREMENTS[seen.measurement].bucket(seen.tags) != "ticks"
            or seen.time_ns > newest_ns - _KEPT_NS
        ]

    def missing_from(self, reader: Reader) -> list[SampledRow]:
        """The samples that the store no longer has.

        Raises:
            StoreError: it cannot be read.
        """
        return [seen for seen in self.all() if not any(_read(reader, seen))]


def fault_of(gone: Iterable[SampledRow], looked_for: int) -> str | None:
    """One line about the missing rows; None if there are none."""
    missing = sorted(gone, key=lambda seen: seen.time_ns)
    if not missing:
        return None
    return (
        f"the store no longer has {len(missing)} of {looked_for} rows that were in it during this run, "
        f"the oldest {missing[0]}: emptied, replaced or restored (`cryptostream ledger --verify` counts it)"
    )


def _read(reader: Reader, seen: SampledRow) -> Iterable[Row]:
    tags: Mapping[str, str] = dict(zip(MEASUREMENTS[seen.measurement].tags, seen.tags, strict=True))
    return reader.read(seen.measurement, tags, from_ns=seen.time_ns, to_ns=seen.time_ns + 1)
