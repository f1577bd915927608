"""REST weight: how much may be spent, and when (BINANCE_SPOT.md §7.5, §8.1). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from producers.exchanges.port import Pace

KLINES_WEIGHT: Final = 2
DEPTH_WEIGHT: Final = 50  # 501 to 1,000 levels
SMALL_DEPTH_WEIGHT: Final = 5  # up to SMALL_DEPTH levels
SMALL_DEPTH: Final = 100
DAY_TICKER_WEIGHT: Final = 2  # up to 20 symbols
TRADES_WEIGHT: Final = 25
AGGREGATES_WEIGHT: Final = 4
EXCHANGE_INFO_WEIGHT: Final = 20
ALL_PRICES_WEIGHT: Final = 4
TIME_WEIGHT: Final = 1

DEFAULT_LIMIT: Final = 6_000
# The other half is for other clients behind the same IP.
SHARE: Final = 0.5
_MINUTE_MS: Final = 60_000
# Weight a minute, of 6,000, that all symbols of a deployment may spend on probes and on fills: only where
# everything is silent, and within the spare budget.
_PROBE_SHARE: Final = 300
_FILL_SHARE: Final = 1_200
_PROBE_WEIGHT: Final = 10
_FILL_WEIGHT: Final = 25


class WeightBudget:
    """A share, by default half, of the exchange's limit per calendar minute of its clock.

    All containers behind one IP share one count, which the header of each answer gives. Requests in flight
    are added, since no header counts them yet.
    """

    def __init__(self, limit: int = DEFAULT_LIMIT, share: float = SHARE) -> None:
        self._limit = limit
        self._share = share
        self._minute = -1
        self._used = 0
        self._in_flight = 0

    @property
    def used(self) -> int:
        """Weight used by the IP in the current minute, as last heard."""
        return self._used

    @property
    def allowed(self) -> int:
        return int(self._limit * self._share)

    def set_limit(self, limit: int) -> None:
        """Take the limit of exchangeInfo's `rateLimits`."""
        self._limit = limit

    def wait_ms(self, weight: int, now_ms: int) -> int:
        """How long to wait before a request of this weight; 0 to send it now.

        Args:
            now_ms: the exchange's time, whose minutes count.
        """
        self._turn(now_ms)
        if self._in_flight == 0 and self._used == 0:
            return 0  # a single request heavier than the budget must not wait for ever
        if self._used + self._in_flight + weight <= self.allowed:
            return 0
        return _MINUTE_MS - now_ms % _MINUTE_MS

    def spare(self, weight: int, now_ms: int) -> bool:
        """Whether an optional request may be sent: it leaves half of the share to the others."""
        self._turn(now_ms)
        return self._used + self._in_flight + weight <= self.allowed // 2

    def started(self, weight: int, now_ms: int) -> None:
        """A request has been sent."""
        self._turn(now_ms)
        self._in_flight += weight

    def finished(self, weight: int, now_ms: int, used: int | None) -> None:
        """Its answer came; `used` is the header's weight, None without one."""
        self._turn(now_ms)
        self._in_flight -= weight
        # Answers may arrive in another order than they were counted: within a minute the count only grows.
        self._used = max(self._used, used) if used is not None else self._used + weight

    def _turn(self, now_ms: int) -> None:
        minute = now_ms // _MINUTE_MS
        if minute != self._minute:
            self._minute, self._used = minute, 0


def starting_weight(intervals: Sequence[str], warmup_bars: int) -> int:
    """Weight of one symbol's start: warm-up, server times, snapshot, exchangeInfo."""
    pages = max(1, -(-warmup_bars // 1_000))
    return len(intervals) * pages * (KLINES_WEIGHT + TIME_WEIGHT) + DEPTH_WEIGHT + EXCHANGE_INFO_WEIGHT


def start_delay_s(position: int, weight: int, limit: int = DEFAULT_LIMIT) -> float:
    """Seconds that a process waits, so that all containers together start under half the limit.

    All containers know the same list of symbols: the one at `position` starts when those before it have spent
    their `weight` each, at the allowed pace.
    """
    return position * weight / (limit * SHARE / 60)


def status_period_s(symbols: int) -> float:
    """Seconds between two polls of exchangeInfo: of all symbols, at most a tenth of the limit a minute."""
    return max(60.0, symbols * EXCHANGE_INFO_WEIGHT / (DEFAULT_LIMIT * 0.1) * 60)


def pace_of(symbols: int) -> Pace:
    """The pace of one symbol of a deployment of so many."""
    usual = Pace()
    return Pace(
        max(usual.probe_s, symbols * _PROBE_WEIGHT * 60 / _PROBE_SHARE),
        max(usual.fill_s, symbols * _FILL_WEIGHT * 60 / _FILL_SHARE),
    )
