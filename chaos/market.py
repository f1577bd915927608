"""The seeded market of all scenarios, so that their results can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_QUARTER_MS: Final = 15 * 60_000
# The world begins so long before a quarter of an hour, so that closes of 1m and 15m bars come early.
_BEFORE_QUARTER_MS: Final = 95_000
# Second data expire after seven days, and a run may go hours ahead of its start.
_BACK_MS: Final = 3 * 3_600_000


@dataclass(frozen=True, slots=True)
class Market:
    """What the exchange issues is a function of these values and the world's time.

    Attributes:
        start_ms: the world's time at the start, ms since the epoch.
        rate: multiplies the trades.
        exchange: whose protocol is spoken.
        told: further arguments of the simulator.
        waits_ms: see `Window`.
    """

    start_ms: int
    symbols: tuple[str, ...] = ("BTCUSDC", "ETHUSDC", "XRPUSDC", "SOLUSDC")
    intervals: tuple[str, ...] = ("1s", "1m", "15m")
    seed: int = 1
    rate: float = 3.0
    warmup_bars: int = 100
    exchange: str = "binance"
    told: tuple[str, ...] = ()
    waits_ms: int = 0

    def arguments(self) -> list[str]:
        """Arguments of `python -m simulator`."""
        return [
            *("--symbols", ",".join(self.symbols)),
            *("--seed", str(self.seed)),
            *("--start", str(self.start_ms)),
            *("--rate", f"{self.rate:g}"),
            *(() if self.exchange == "binance" else ("--exchange", self.exchange)),
            *self.told,
        ]


def start_before(now_ms: int) -> int:
    """A start of the world some hours ago, shortly before a quarter of an hour ends.

    A tenth of a second past a full second, so that no bar ends until the services have subscribed.
    """
    quarter_ms = (now_ms - _BACK_MS) // _QUARTER_MS * _QUARTER_MS
    return quarter_ms - _BEFORE_QUARTER_MS + 100


@dataclass(frozen=True, slots=True)
class Window:
    """A span of the world's time in ms: from `begin_ms` up to, not including, `end_ms`.

    Attributes:
        waits_ms: bars that end so shortly before a market stops may wait for its clock for ever.
    """

    begin_ms: int
    end_ms: int
    waits_ms: int = 0

    def has(self, time_ms: int) -> bool:
        return self.begin_ms <= time_ms < self.end_ms

    def has_bar(self, open_time_ms: int, interval_ms: int) -> bool:
        """Whether a bar closes within."""
        return self.begin_ms < open_time_ms + interval_ms <= self.end_ms - self.waits_ms

    def cut(self, other: Window) -> Window:
        """The intersection."""
        waits_ms = max(self.waits_ms, other.waits_ms)
        return Window(max(self.begin_ms, other.begin_ms), min(self.end_ms, other.end_ms), waits_ms)
