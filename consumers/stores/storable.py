"""Which points can be stored, and when they expire, the same for every adapter."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from consumers.measurements import Column, Point, Series, Value
from shared.errors import PointsRejected
from shared.shortened import quoted

log: Final = logging.getLogger(__name__)

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
TIME_MIN_NS: Final = 0
# InfluxDB reserves the last nanosecond of int64 (year 2262).
TIME_MAX_NS: Final = INT64_MAX - 1
_FLOAT_MAX: Final = int(sys.float_info.max)
# Words and names; InfluxDB itself takes 64 kB.
_LONGEST_TEXT: Final = 1_000
# Buckets keep `market` for ever, `ticks` seven days (DESIGN §4.3).
TICKS_EXPIRY_NS: Final = 7 * 86_400 * 10**9
# Measurements with the exchange's time; quotes, freshness and services have the host's.
EXCHANGE_TIMED: Final = frozenset(("kline", "trade", "book"))
# Gaps are filled bar by bar, so that time advances in small steps even after weeks. A step up to this length
# is accepted: if it is wrong, points expire at most this much too early.
JUMP_NS: Final = 3_600 * 10**9
# Distinct minutes, each within a jump's length of the next, that confirm a jump while no earlier time
# follows.
PROOF_MINUTES: Final = 60
_MINUTE_NS: Final = 60 * 10**9
_MOST_MINUTES: Final = 10 * PROOF_MINUTES


_KINDS: Final = {
    "float": "a number",
    "int": "a 64-bit integer",
    "bool": "true or false",
    "string": f"a text of up to {_LONGEST_TEXT:,} characters without control characters",
}


def rejection(point: Point, reason: str) -> PointsRejected:
    """The error that rejects one point."""
    return PointsRejected([(point, reason)])


def why_tags_are_refused(series: Series) -> str | None:
    """Why no point of this series can be stored; None if points can.

    Line protocol has no escape for a line break or for a backslash at the end of a tag value (InfluxDB 2.9.1
    rejects the one and drops the other), and a carriage return does not survive its CSV.
    """
    for name, value in zip(series.measurement.tags, series.tags, strict=True):
        if not isinstance(value, str):
            return f"tag {name}: {value!r} is not text"
        if _has_controls(value) or value.endswith("\\"):
            return f"tag {name}: {value!r} has a control character or ends with a backslash"
        if _has_surrogates(value):
            return f"tag {name}: {value!r} is not Unicode text"
    return None


def _is_storable_text(text: str) -> bool:
    return len(text) <= _LONGEST_TEXT and not _has_controls(text) and not _has_surrogates(text)


def _has_controls(text: str) -> bool:
    return any(ord(character) < 32 or ord(character) == 127 for character in text)


def _has_surrogates(text: str) -> bool:
    return any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def storable_values(point: Point) -> list[Value]:
    """The values as both stores keep them: NaN, ±inf and "" become None, ints of float columns floats.

    Raises:
        PointsRejected: a value, or the time, can never be stored.
    """
    columns = point.series.measurement.columns
    if len(point.values) != len(columns):
        raise rejection(point, f"{len(point.values)} values for {len(columns)} columns")
    if type(point.time_ns) is not int or not TIME_MIN_NS <= point.time_ns <= TIME_MAX_NS:
        raise rejection(
            point, f"time {quoted(point.time_ns)} is not nanoseconds since the epoch, before 2262"
        )
    return [_storable(point, column, value) for column, value in zip(columns, point.values, strict=True)]


def _storable(point: Point, column: Column, value: Value) -> Value:
    if value is None:
        return None
    if column.type == "bool":
        if type(value) is bool:
            return value
    elif column.type == "int":
        if type(value) is int and INT64_MIN <= value <= INT64_MAX:
            return value
    elif column.type == "string":
        if type(value) is str and _is_storable_text(value):
            return value or None
    elif type(value) is float:
        return value if math.isfinite(value) else None
    elif type(value) is int and abs(value) <= _FLOAT_MAX:
        return float(value)
    kind = _KINDS[column.type]
    raise rejection(point, f"{column.name}: {quoted(value, 40)} ({type(value).__name__}) is not {kind}")


class ExpiryClock:
    """The newest accepted time of the exchange among written points; expiry counts from it. It never goes
    back.

    The host's clock is not used: one that is days ahead for a moment would delete points of some hours.

    A jump ahead, and the very first time, which may be wrong too, is accepted only after an hour of minutes
    has followed it without a time that continues from before.

    Attributes:
        newest_ns: None until one is accepted.
    """

    def __init__(self, newest_ns: int | None = None) -> None:
        self.newest_ns = newest_ns
        self._ahead: set[int] = set()  # minutes beyond a jump
        self._warned = False

    def receive(self, times_ns: Sequence[int]) -> None:
        """Enter times of points, in any order; those not above `newest_ns` may be omitted."""
        if not times_ns:
            return
        newest_ns = self.newest_ns
        latest_ns = max(times_ns)
        if newest_ns is not None and latest_ns <= newest_ns + JUMP_NS:
            if latest_ns > newest_ns:
                self._advance(latest_ns)
            return
        for time_ns in sorted(times_ns):
            if self.newest_ns is None or time_ns > self.newest_ns + JUMP_NS:
                self._hold_back(time_ns)
            elif time_ns > self.newest_ns:
                self._advance(time_ns)

    def oldest_kept_ns(self, expiry_ns: int | None) -> int | None:
        """Times before this have expired; None while nothing has.

        Args:
            expiry_ns: how long points are kept, None for ever.
        """
        return None if expiry_ns is None or self.newest_ns is None else self.newest_ns - expiry_ns

    def _advance(self, time_ns: int) -> None:
        self.newest_ns = time_ns
        if self._ahead:
            self._ahead.clear()

    def _hold_back(self, time_ns: int) -> None:
        if self.newest_ns is not None and not self._warned:
            self._warned = True
            log.warning(
                "a point is %.1f h ahead of the newest before it: nothing expires by its time "
                "until others have followed it for an hour",
                (time_ns - self.newest_ns) / 3_600e9,
            )
        minute = time_ns // _MINUTE_NS
        if minute in self._ahead:
            return
        self._ahead.add(minute)
        if len(self._ahead) >= PROOF_MINUTES:
            self._find_proof()

    def _find_proof(self) -> None:
        length = 1
        for before, minute in pairwise(sorted(self._ahead)):
            length = length + 1 if (minute - before) * _MINUTE_NS <= JUMP_NS else 1
            if length == PROOF_MINUTES:
                self._advance(minute * _MINUTE_NS)
                self._warned = False
                return
        if len(self._ahead) > _MOST_MINUTES:  # scattered: none is more plausible than another
            self._ahead.clear()


def oldest_kept_ms(newest_ms: int | None, expiry_ns: int | None = TICKS_EXPIRY_NS) -> int | None:
    """Times before this may have expired from `ticks`; None if none has.

    Args:
        newest_ms: the newest known time of the exchange, None if unknown.
        expiry_ns: how long `ticks` keeps points, None for ever.
    """
    return None if newest_ms is None or expiry_ns is None else newest_ms - expiry_ns // 1_000_000
