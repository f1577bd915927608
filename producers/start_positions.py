"""Start positions: what each series of an instrument already has when a producer starts (DESIGN §5.5)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from shared.errors import UsageError
from shared.files import read_named_file
from shared.id_ranges import IdRanges

# A hole takes some 50 bytes: room for more than a million.
_MOST_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class OpenHole:
    """Missing ids of a series, both ends inclusive, as `pipeline.progress` keeps them.

    Attributes:
        before_ms, after_ms: times of the neighbours when it was found; None if unknown.
        offline: we were switched off between them.
        asked: how often REST was asked in vain.
        since_ms: when REST was first asked, by the exchange's clock.
    """

    first: int
    last: int
    before_ms: int | None = None
    after_ms: int = 0
    offline: bool = False
    asked: int = 0
    since_ms: int | None = None


class FoundRange(NamedTuple):
    """Neighbouring ids of one minute, both ends inclusive, with the event times of the ends."""

    first: int
    last: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class StartPosition:
    """What the topic of one series already has.

    Attributes:
        last_id: up to here only `missing` is missing; a trade's number, or a bar's open time in ms.
        missing: holes below it.
        later: ids above it, sorted.
        time_ms: trade time of the record of `last_id`, or of one shortly before it; None if unknown.
    """

    last_id: int
    missing: tuple[OpenHole, ...] = ()
    later: tuple[FoundRange, ...] = ()
    time_ms: int | None = None


def still_open(holes: Iterable[OpenHole], found: Iterable[FoundRange], step: int = 1) -> tuple[OpenHole, ...]:
    """The holes without the ids found."""
    there = IdRanges((each.first // step, each.last // step) for each in found)
    return tuple(
        replace(hole, first=first * step, last=last * step)
        for hole in holes
        for first, last in _left(hole.first // step, hole.last // step, there)
    )


def _left(first: int, last: int, there: IdRanges) -> Iterator[tuple[int, int]]:
    for low, high in there.within(first, last):
        if first < low:
            yield first, low - 1
        first = high + 1
    if first <= last:
        yield first, last


def trades_series(exchange: str, symbol: str) -> str:
    """Name of a series of trades, as on `pipeline.progress`."""
    return f"{exchange}:{symbol}:trades"


def klines_series(exchange: str, symbol: str, interval: str) -> str:
    """Name of a series of bars, as on `pipeline.progress`."""
    return f"{exchange}:{symbol}:klines:{interval}"


def read_start_positions_file(path: Path, option: str = "--bearings") -> dict[str, StartPosition]:
    """The file of `--bearings`: a JSON object, series → last id, or [last id, its time in ms], or these and
    the holes below it: [last id, time or null, [[first, last, time before or null, time after], …]].

    Raises:
        UsageError: the file cannot be read or is no such object.
    """
    try:
        content = json.loads(read_named_file(path, _MOST_BYTES))
    except OSError as error:
        raise UsageError(
            f"{option}: {path} cannot be read ({error.strerror}); name a file that exists"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{option}: {path} is not JSON ({error}); write series names and last ids") from None
    entries = content.items() if isinstance(content, dict) else ()
    known = {series: _start_position_of(entry) for series, entry in entries}
    start_positions = {series: found for series, found in known.items() if found is not None}
    if not isinstance(content, dict) or len(start_positions) < len(known):
        raise UsageError(
            f'{option}: {path} must be a JSON object like {{"binance:BTCUSDC:trades": 4711}}, integers'
            " only, or with their times: [4711, 1785767100000], or with holes too:"
            " [4711, 1785767100000, [[4703, 4705, 1785767090000, 1785767091000]]]"
        )
    return start_positions


def _start_position_of(entry: object) -> StartPosition | None:
    """None if it is none of the forms."""
    match entry if isinstance(entry, list) else [entry, None]:
        case [last_id, time_ms]:
            holes: object = []
        case [last_id, time_ms, holes]:
            pass
        case _:
            return None
    if type(last_id) is not int or not (time_ms is None or type(time_ms) is int):
        return None
    if not isinstance(holes, list) or not all(map(_is_hole, holes)):
        return None
    missing = tuple(OpenHole(*hole) for hole in holes)
    return StartPosition(last_id, missing, time_ms=time_ms)


def _is_hole(entry: object) -> bool:
    match entry:
        case [int(), int(), int() | None, int()]:
            return True
    return False
