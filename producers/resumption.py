"""What a series goes on with after a start: its holes as they were noted, due at once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from producers.missing_ids import MissingRange
from producers.start_positions import FoundRange, OpenHole, StartPosition, klines_series, trades_series
from shared.models import LedgerStream


def bars_start(known: StartPosition, step: int, now_ms: int, now_s: float) -> tuple[int, list[MissingRange]]:
    """Open time of the last bar on the topic, and the bars before it that are not."""
    holes = [missing_of(hole, step, now_ms, now_s) for hole in known.missing]
    last = known.last_id
    for found in known.later:
        if found.first > last + step:
            between = OpenHole(last + step, found.first - step, after_ms=found.first)
            holes.append(missing_of(between, step, now_ms, now_s))
        last = found.last
    return last, holes


def missing_of(hole: OpenHole, step: int, now_ms: int, now_s: float) -> MissingRange:
    """A hole of the progress topic, due at once."""
    since_s = None if hole.since_ms is None else now_s - (now_ms - hole.since_ms) / 1000
    return MissingRange(
        hole.first // step,
        hole.last // step,
        hole.before_ms,
        hole.after_ms,
        hole.offline,
        hole.asked,
        since_s,
    )


def beyond_progress(
    start_positions: Mapping[str, StartPosition], exchange: str, symbol: str, intervals: Iterable[str]
) -> Iterator[tuple[LedgerStream, str | None, FoundRange]]:
    """What the topics of a symbol have beyond the progress, by stream and interval.

    A producer that was killed may not have reported it; a second report changes nothing.
    """
    series: list[tuple[LedgerStream, str | None, str]] = [
        ("klines", interval, klines_series(exchange, symbol, interval)) for interval in intervals
    ]
    for stream, interval, name in (*series, ("trades", None, trades_series(exchange, symbol))):
        known = start_positions.get(name)
        for found in () if known is None else known.later:
            yield stream, interval, found
