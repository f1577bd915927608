"""Every kind of fault, declared once: what it strikes and which keys it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Place = Literal["connection", "handshake", "event", "reply", "request", "market"]

STREAM_KINDS: Final = ("trade", "depth", "kline", "quote")
# Without `shape` one is drawn.
GARBAGE_SHAPES: Final = ("html", "text", "null", "object", "rows")
SERVER_ERRORS: Final = (500, 502, 503, 504)
CLIENT_ERRORS: Final = (400, 401, 403, 404, 451)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a script of faults may name on one exchange.

    Attributes:
        exchange: as in `--exchange`.
        streams: its kinds of streams.
        paths: its REST endpoints.
        kinds: the faults that can happen there.
    """

    exchange: str
    streams: tuple[str, ...]
    paths: tuple[str, ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    Attributes:
        targets: keys, besides the times, that choose what it strikes.
        options: further keys with their defaults; None if a draw decides.
        duration_s: default of `duration`; None if it has no such key.
        moments: it needs `at`, `every` or `probability`, since no event or request triggers it.
        finals: it strikes only events that close a bar.
        of_stream: it strikes only this kind of stream.
        statuses: allowed values of `status`.
        exchanges: where it can happen; empty: everywhere.
    """

    place: Place
    targets: tuple[str, ...] = ()
    options: Mapping[str, float | str | None] = field(default_factory=dict)
    duration_s: float | None = None
    moments: bool = False
    finals: bool = False
    of_stream: str | None = None
    statuses: tuple[int, ...] = ()
    exchanges: tuple[str, ...] = ()


# Others have no bars on their streams.
_BARS: Final = ("binance",)
_ALL_EVENTS: Final = ("streams", "symbols", "intervals")
_FINALS: Final = ("symbols", "intervals")
_REQUESTS: Final = ("paths", "symbols")


def _connection(duration_s: float | None = None, **options: float | str | None) -> Kind:
    return Kind("connection", _ALL_EVENTS, options, duration_s, moments=True)


def _event(**options: float | str | None) -> Kind:
    return Kind("event", _ALL_EVENTS, options, duration_s=0.0)


def _final(**options: float | str | None) -> Kind:
    return Kind("event", _FINALS, options, duration_s=0.0, finals=True, exchanges=_BARS)


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
    # Binance's clients name their streams in the address, which nothing acknowledges.
    "wrong_ack": Kind("reply", (), {}, 0.0, exchanges=("kraken", "coinbase")),
    "bad_checksum": Kind("event", ("symbols",), {}, 0.0, of_stream="depth", exchanges=("kraken",)),
    "counter_jump": Kind("event", _ALL_EVENTS, {"distance": 1.0}, 0.0, exchanges=("coinbase",)),
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
    # 100 h: more than any clock is wrong, less than an expiry.
    "future_bar": _final(ahead=360_000.0),
    # The first id that a double does not hold.
    "wrong_trade_id": _lie_of_a_trade(trade_id=2**53 + 1),
    "far_trade_time": _lie_of_a_trade(offset_ms=30 * 86_400_000),
    "rest_429": _request(retry_after=1.0),
    "rest_418": Kind("request", _REQUESTS, {"retry_after": 5.0}, 0.0, exchanges=("binance",)),
    "rest_5xx": Kind("request", _REQUESTS, {"status": None}, 0.0, statuses=SERVER_ERRORS),
    "rest_4xx": Kind("request", _REQUESTS, {"status": 404}, 0.0, statuses=CLIENT_ERRORS),
    "rest_dead": _request(),
    "rest_behind": _request(age=20.0),
    "time_jump": Kind("request", (), {"offset_ms": 3_600_000.0}, 0.0),
    "rest_timeout": _request(5.0),
    "rest_garbage": _request(shape=None),
    # Where the stream has the snapshot, nobody asks for one.
    "rest_old_snapshot": Kind("request", ("symbols",), {"age": 5.0}, 0.0, exchanges=("binance",)),
    "rest_cut": _request(),
    "historical_trades_refused": Kind("request", ("symbols",), {}, 0.0, exchanges=("binance",)),
    "halt": Kind("market", ("symbols",), {}, 10.0, moments=True),
    "new_listing": Kind("market", ("symbols",), moments=True),
    "ids_anew": Kind("market", ("symbols", "streams"), moments=True),
    "clock_skew": Kind("market", (), {"offset_ms": 1_500.0}, 10.0),
}
# Part of the market, which is made before it begins.
OF_THE_MARKET: Final = ("halt", "new_listing", "ids_anew")
# Those that happen at one moment.
AT_A_MOMENT: Final = ("new_listing", "ids_anew")


def kinds_on(exchange: str) -> tuple[str, ...]:
    """The kinds of faults that can happen on an exchange."""
    return tuple(
        kind for kind, declared in KINDS.items() if not declared.exchanges or exchange in declared.exchanges
    )
