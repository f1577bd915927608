"""How long the buckets keep their points (DESIGN §4.3): `market` for ever, `ticks` seven days.

They are counted from the newest time of the exchange. The host's clock has no say in it: one that is days
ahead for a moment would delete what is hours old.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

log: Final = logging.getLogger(__name__)

TICKS_EXPIRY_NS: Final = 7 * 86_400 * 10**9
# Points of these carry the exchange's own time; quotes, freshness and services have the host's.
EXCHANGE_TIMED: Final = frozenset(("kline", "trade", "book"))
# What was missed is filled bar by bar, so that time moves in small steps also after weeks; one step that is
# longer proves nothing, and costs at most so much too early an end.
JUMP_NS: Final = 3_600 * 10**9
# Different minutes, none far from the next, that prove a jump while nothing goes on before it.
PROOF_MINUTES: Final = 60
_MINUTE_NS: Final = 60 * 10**9
_MOST_MINUTES: Final = 10 * PROOF_MINUTES


class ExchangeTime:
    """The newest time of the exchange that points have shown. It never goes back.

    A jump ahead is not believed: nothing expires by it, until an hour of minutes has followed it without one
    that goes on from before. So it is with the very first time, which may be as wrong as any other.

    Attributes:
        newest_ns: None until it is known.
    """

    def __init__(self, newest_ns: int | None = None) -> None:
        self.newest_ns = newest_ns
        self._ahead: set[int] = set()  # minutes beyond a jump
        self._said = False

    def receive(self, times_ns: Sequence[int]) -> None:
        """Points with these times came, in any order; those not above `newest_ns` may be left out."""
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
        if self.newest_ns is not None and not self._said:
            self._said = True
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
            self._judge()

    def _judge(self) -> None:
        length = 1
        for before, minute in pairwise(sorted(self._ahead)):
            length = length + 1 if (minute - before) * _MINUTE_NS <= JUMP_NS else 1
            if length == PROOF_MINUTES:
                self._advance(minute * _MINUTE_NS)
                self._said = False
                return
        if len(self._ahead) > _MOST_MINUTES:  # they jump about: none is better than another
            self._ahead.clear()


def oldest_kept_ms(newest_ms: int | None, expiry_ns: int | None = TICKS_EXPIRY_NS) -> int | None:
    """Times before this may be gone from `ticks`; None if nothing is.

    Args:
        newest_ms: the newest time of the exchange that is known, None if none is.
        expiry_ns: how long `ticks` keeps points, None for ever.
    """
    return None if newest_ms is None or expiry_ns is None else newest_ms - expiry_ns // 1_000_000
