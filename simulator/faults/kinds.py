"""Every kind of fault, declared once: where it strikes and which keys it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Place = Literal["connection", "event", "request", "market"]

STREAM_KINDS: Final = ("trade", "depth", "kline", "quote")
# Of a request without `shape`, one is drawn.
GARBAGE_SHAPES: Final = ("html", "text", "null", "object", "rows")
SERVER_ERRORS: Final = (500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    Attributes:
        targets: keys beyond the times that say what it strikes.
        options: further keys with their defaults; None where a draw decides.
        duration_s: default of `duration`; None where the key has no meaning.
        moments: it needs moments of its own (`at`, `every`, `probability`), since nothing else triggers it.
        finals: strikes only the events that close a bar.
    """

    place: Place
    targets: tuple[str, ...] = ()
    options: Mapping[str, float | str | None] = field(default_factory=dict)
    duration_s: float | None = None
    moments: bool = False
    finals: bool = False


_ALL_EVENTS: Final = ("streams", "symbols", "intervals")
_FINALS: Final = ("symbols", "intervals")


def _connection(duration_s: float | None = None, **options: float | str | None) -> Kind:
    return Kind("connection", _ALL_EVENTS, options, duration_s, moments=True)


def _event(**options: float | str | None) -> Kind:
    return Kind("event", _ALL_EVENTS, options, duration_s=0.0)


def _final(**options: float | str | None) -> Kind:
    return Kind("event", _FINALS, options, duration_s=0.0, finals=True)


def _request(duration_s: float = 0.0, **options: float | str | None) -> Kind:
    return Kind("request", ("paths", "symbols"), options, duration_s)


KINDS: Final[Mapping[str, Kind]] = {
    "drop": _connection(),
    "silent": _connection(10.0),
    "slow": _connection(5.0, bytes_per_s=20_000.0, delay_ms=0.0),
    "shutdown": _connection(lead=2.0),
    "early_close": _connection(),
    "duplicate": _event(delay=0.0),
    "reorder": _event(distance=1.0),
    "skip": _event(),
    "malformed": _event(),
    "truncated": _event(),
    "wrong_type": _event(),
    "unknown_field": _event(),
    "missing_field": _event(),
    "late_kline": _final(delay=3.0),
    "missing_kline": _final(),
    "revised_kline": _final(delay=0.2),
    "wrong_kline": _final(),
    "rest_429": _request(retry_after=1.0),
    "rest_418": _request(retry_after=5.0),
    "rest_5xx": _request(status=None),
    "rest_timeout": _request(5.0),
    "rest_garbage": _request(shape=None),
    "rest_old_snapshot": Kind("request", ("symbols",), {"age": 5.0}, 0.0),
    "rest_cut": _request(),
    "historical_trades_refused": Kind("request", ("symbols",), {}, 0.0),
    "halt": Kind("market", ("symbols",), {}, 10.0, moments=True),
    "clock_skew": Kind("market", (), {"offset_ms": 1_500.0}, 10.0),
}
# The endpoint of the kinds that have only one.
ONLY_PATH: Final = {"rest_old_snapshot": "depth", "historical_trades_refused": "historicalTrades"}
