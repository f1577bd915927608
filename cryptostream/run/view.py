"""The state of a run at one moment, frozen: what the screen and the status lines show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LEDGER_COUNTS: Final = ("expected", "stored", "backfilled", "halted", "offline", "lost", "duplicates")


@dataclass(frozen=True, slots=True)
class BarView:
    """The newest bar of one interval with its indicators; None for unknown values.

    Attributes:
        open: the values are those of the open bar, hence provisional.
    """

    interval: str
    close: float | None = None
    rsi: float | None = None
    macd: float | None = None
    macd_signal: float | None = None
    atr: float | None = None
    open: bool = False


@dataclass(frozen=True, slots=True)
class InstrumentView:
    """Prices of one symbol.

    Attributes:
        symbol: with its exchange before it where a run has several.
        direction: of the last price change: -1, 0 or 1.
        synced: whether the order book is in sync; None while there is none.
        decimals: the most decimals that one of its prices had so far.
    """

    symbol: str
    last_price: float | None = None
    direction: int = 0
    bid: float | None = None
    ask: float | None = None
    spread_bps: float | None = None
    synced: bool | None = None
    bars: tuple[BarView, ...] = ()
    decimals: int = 0


@dataclass(frozen=True, slots=True)
class ServiceView:
    """The latest report of a service.

    Attributes:
        age_s: seconds since the report.
        freshness_ms: the largest median of its latencies in the last 10 s.
    """

    name: str
    messages_per_s: float
    lag_messages: int
    lag_seconds: float
    dead_letters: int
    restarts: int
    age_s: float
    freshness_ms: float | None = None


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """Completeness of one series, in ids (DESIGN §5.3); `interval` is "" for trades.

    Attributes:
        symbol: with its exchange before it where a run has several.
        lost: bars that their trades contradict included.
        different: of these bars, the ranges of open times.
    """

    symbol: str
    stream: str
    interval: str
    expected: int = 0
    stored: int = 0
    backfilled: int = 0
    halted: int = 0
    offline: int = 0
    lost: int = 0
    duplicates: int = 0
    lost_ranges: tuple[tuple[int, int], ...] = ()
    exchange: str = ""
    different: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class RunView:
    """Everything the screen shows.

    Attributes:
        title_lines: source, broker and store, with the reasons for them.
        phase: what the run is doing.
    """

    title_lines: tuple[str, ...]
    phase: str
    uptime_s: float
    instruments: tuple[InstrumentView, ...] = ()
    services: tuple[ServiceView, ...] = ()
    ledger: tuple[LedgerRow, ...] = ()
    log_lines: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
