"""Every kind of fault, declared once: where it strikes and which keys it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Place = Literal["connection", "handshake", "event", "request", "market"]

STREAM_KINDS: Final = ("trade", "depth", "kline", "quote")
# Of a request without `shape`, one is drawn.
GARBAGE_SHAPES: Final = ("html", "text", "null", "object", "rows")
SERVER_ERRORS: Final = (500, 502, 503, 504)
CLIENT_ERRORS: Final = (400, 401, 403, 404, 451)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    Attributes:
        targets: keys beyond the times that say what it strikes.
        options: further keys with their defaults; None where a draw decides.
        duration_s: default of `duration`; None where the key has no meaning.
        moments: it needs moments of its own (`at`, `every`, `probability`), since nothing else triggers it.
        finals: strikes only the events that close a bar.
        of_stream: strikes only this kind of stream.
        statuses: what `status` may be.
    """

    place: Place
    targets: tuple[str, ...] = ()
    options: Mapping[str, float | str | None] = field(default_factory=dict)
    duration_s: float | None = None
    moments: bool = False
    finals: bool = False
    of_stream: str | None = None
    statuses: tuple[int, ...] = ()


_ALL_EVENTS: Final = ("streams", "symbols", "intervals")
_FINALS: Final = ("symbols", "intervals")
_REQUESTS: Final = ("paths", "symbols")


def _connection(duration_s: float | None = None, **options: float | str | None) -> Kind:
    return Kind("connection", _ALL_EVENTS, options, duration_s, moments=True)


def _event(**options: float | str | None) -> Kind:
    return Kind("event", _ALL_EVENTS, options, duration_s=0.0)


def _final(**options: float | str | None) -> Kind:
    return Kind("event", _FINALS, options, duration_s=0.0, finals=True)


def _lie_of_a_trade(**options: float | str | None) -> Kind:
    return Kind("event", ("symbols",), options, duration_s=0.0, of_stream="trade")


def _request(duration_s: float = 0.0, **options: float | str | None) -> Kind:
    return Kind("request", _REQUESTS, options, duration_s)


KINDS: Final[Mapping[str, Kind]] = {
    "drop": _connection(),
    "silent": _connection(10.0),
    "slow": _connection(5.0, bytes_per_s=20_000.0, delay_ms=0.0),
    "shutdown": _connection(lead=2.0),
    "early_close": _connection(),
    "mute": _connection(),
    "stream_refused": Kind("handshake", (), {"status": 503}, 10.0, statuses=(*CLIENT_ERRORS, *SERVER_ERRORS)),
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
    # 100 h: further than any clock is wrong, nearer than an expiry.
    "future_bar": _final(ahead=360_000.0),
    # The first id that a double does not hold.
    "wrong_trade_id": _lie_of_a_trade(trade_id=2**53 + 1),
    "far_trade_time": _lie_of_a_trade(offset_ms=30 * 86_400_000),
    "rest_429": _request(retry_after=1.0),
    "rest_418": _request(retry_after=5.0),
    "rest_5xx": Kind("request", _REQUESTS, {"status": None}, 0.0, statuses=SERVER_ERRORS),
    "rest_4xx": Kind("request", _REQUESTS, {"status": 404}, 0.0, statuses=CLIENT_ERRORS),
    "rest_dead": _request(),
    "rest_behind": _request(age=20.0),
    "time_jump": Kind("request", (), {"offset_ms": 3_600_000.0}, 0.0),
    "rest_timeout": _request(5.0),
    "rest_garbage": _request(shape=None),
    "rest_old_snapshot": Kind("request", ("symbols",), {"age": 5.0}, 0.0),
    "rest_cut": _request(),
    "historical_trades_refused": Kind("request", ("symbols",), {}, 0.0),
    "halt": Kind("market", ("symbols",), {}, 10.0, moments=True),
    "new_listing": Kind("market", ("symbols",), moments=True),
    "ids_anew": Kind("market", ("symbols", "streams"), moments=True),
    "clock_skew": Kind("market", (), {"offset_ms": 1_500.0}, 10.0),
}
# Part of the market itself, which is made before it begins.
OF_THE_MARKET: Final = ("halt", "new_listing", "ids_anew")
# Those of them that happen at one moment.
AT_A_MOMENT: Final = ("new_listing", "ids_anew")
# The endpoints of the kinds that do not mean all.
ONLY_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "rest_old_snapshot": ("depth",),
    "historical_trades_refused": ("historicalTrades",),
    "time_jump": ("time",),
    # What a database answers.
    "rest_behind": ("klines", "uiKlines", "trades", "historicalTrades", "aggTrades"),
}
