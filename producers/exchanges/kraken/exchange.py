"""Kraken spot behind the port: what it promises, and its parts (COINBASE_KRAKEN.md §4)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from producers.exchanges.frame_types import LATEST_MS, Stream
from producers.exchanges.kraken.answers import trade_of_row
from producers.exchanges.kraken.audit import KrakenAudit
from producers.exchanges.kraken.checksum import checksum
from producers.exchanges.kraken.enquiry import KrakenEnquiry
from producers.exchanges.kraken.frames import EXCHANGE, KrakenFrames
from producers.exchanges.kraken.pairs import Pair, renamed, unlisted
from producers.exchanges.kraken.rest import A_SECOND, SHARE, KrakenRest
from producers.exchanges.lane_port import NO_LANES, Lanes, Steps
from producers.exchanges.paced_limits import PacedLimits
from producers.exchanges.port import (
    Addresses,
    BarsPromise,
    BookPromise,
    Exchange,
    Limits,
    Liveness,
    Parser,
    Plan,
    Promises,
    QuotesPromise,
    SnapshotCost,
    TradesPromise,
)
from producers.exchanges.rest_port import Audit, Enquiry, Reject, Rest
from producers.exchanges.stream_events import StreamEvent
from producers.exchanges.values import NotJson, decode_exact
from shared.dead_letters import as_json
from shared.errors import InvalidMessage, UsageError
from shared.settings import Settings
from shared.shortened import quoted

_SETTINGS: Final = Addresses("KRAKEN_REST_URL", "KRAKEN_WS_URL", "KRAKEN_REST_URL")
# The ten levels that the checksum covers: of a deeper book only these would be proven.
_DEPTH: Final = 10
# The channel `instrument` begins with all 1,400 pairs, 0.5 MB.
_MAX_FRAME_BYTES: Final = 8_000_000
# Nothing is said about the age of a connection; a day is what others allow.
_AGE_S: Final = 23.5 * 3600
# A heartbeat comes each second in which nothing else does (§4.1).
_LIVENESS: Final = Liveness(frame_s=6.0, acknowledged_s=10.0, quiet_s=300.0)
_CHANNELS: Final[Mapping[str, Mapping[str, Any]]] = {
    # The last trades come first: they show what was missed.
    "trade": {"snapshot": True},
    "book": {"depth": _DEPTH, "snapshot": True},
    "ticker": {"event_trigger": "bbo", "snapshot": True},
}
_KINDS: Final = {"trade": "trade", "book": "depth", "ticker": "quote"}
# Requests of a symbol's start: status, clock, newest trade, some pages of earlier ones.
_STARTING: Final = 8
_PROMISES: Final = Promises(
    TradesPromise(
        repair="time",
        guarantee="every id once; what is missing is repaired over REST by time, back to the first trade",
        proof="ids rise by 1; pages of REST that overlap, and go a second beyond: what they leave out was"
        " never issued",
    ),
    BarsPromise(
        source="trades",
        guarantee="every closed bar of every interval from 1s on, once and in order, built from the trades,"
        " takers' volumes included; quiet intervals are flat bars",
        proof="final when a later trade, or the clock and 2 s, has passed the end and no trade below is"
        " missing",
        warm_up="trades of the last hours, up to 5,000; longer bars begin with the next one",
    ),
    BookPromise(
        integrity="crc",
        guarantee="the best 10 levels of each side, exact while `synced`",
        proof="the exchange's checksum in each message",
        depth=_DEPTH,
        checksum=checksum,
    ),
    QuotesPromise(source="stream", guarantee="the latest one and its age", proof="none of its own"),
    halts="channels `status` and `instrument`, and `AssetPairs`, polled",
)


def _read_alone(frame: bytes, now_ms: int, latest_ms: int = LATEST_MS - 1) -> Sequence[StreamEvent]:
    """Read a frame out of its order; its numbers keep the digits that were sent."""
    return KrakenFrames(_pairs_in(frame)).parse(frame, now_ms, latest_ms)


def _pairs_in(frame: bytes) -> dict[str, Pair]:
    """The pairs that a frame names, of which nothing else is known."""
    try:
        symbols = [str(each["symbol"]) for each in decode_exact(frame)["data"]]
    except (NotJson, LookupError, TypeError):
        return {}
    return {symbol: unlisted(symbol) for symbol in symbols}


class Kraken:
    """See `Exchange`."""

    name = EXCHANGE
    title = "Kraken"
    promises = _PROMISES
    settings = _SETTINGS
    limits: Limits = PacedLimits(A_SECOND, SHARE, _STARTING, symbol_s=6.0)
    snapshot_cost = SnapshotCost(
        symbol=3, statuses=1, statuses_at_once=100, clock=1, limit=round(A_SECOND * 60), share=SHARE
    )
    audit: Audit = KrakenAudit()

    def addresses(self, settings: Settings) -> Addresses:
        rest = settings.kraken_rest_url
        return Addresses(rest, settings.kraken_ws_url, rest)

    def symbol(self, text: str) -> str:
        symbol = text.upper()
        base, slash, quote = symbol.partition("/")
        if not slash or not base.isalnum() or not quote.isalnum():
            raise UsageError(
                f"{quoted(text)} is not a pair of Kraken; write base and quote with a slash, like BTC/USD"
            )
        if renamed(symbol) != symbol:
            raise UsageError(f"{quoted(text)} is an old name of a pair of Kraken; write {renamed(symbol)}")
        return symbol

    def connections(
        self,
        addresses: Addresses,
        symbols: Sequence[str],
        intervals: Sequence[str],  # noqa: ARG002 - bars are built
    ) -> list[Plan]:
        streams = [
            Stream(symbol, _KINDS[channel], None, channel) for symbol in symbols for channel in _CHANNELS
        ]
        opening = [_subscription(channel, symbols) for channel in _CHANNELS]
        opening.append(_request("subscribe", {"channel": "instrument", "snapshot": True}))
        renewals = {
            symbol: (
                _request("unsubscribe", {"channel": "book", "symbol": [symbol], "depth": _DEPTH}),
                _subscription("book", [symbol]),
            )
            for symbol in symbols
        }
        return [
            Plan(
                f"{addresses.stream}/v2",
                addresses.stream,
                tuple(streams),
                tuple(opening),
                max_frame_bytes=_MAX_FRAME_BYTES,
                age_s=_AGE_S,
                liveness=_LIVENESS,
                setting=_SETTINGS.stream,
                place_hint="nothing else serves its market data",
                renewals=renewals,
            )
        ]

    def parser(self, plan: Plan | None = None) -> Parser:
        if plan is None:
            return _read_alone
        # Until the stream itself has said how many places numbers have, for a caller that did not ask REST.
        named = {stream.symbol: unlisted(stream.symbol) for stream in plan.streams}
        return KrakenFrames({**named, **plan.listed}).parse

    def lanes(self, plan: Plan, steps: Mapping[str, Steps]) -> Lanes:  # noqa: ARG002
        return NO_LANES  # its parser has short ways of its own, before the checks of its connection

    def rest(
        self,
        addresses: Addresses,
        exchange_ms: Callable[[], int],
        reject: Reject,
        share: float | None = None,
    ) -> Rest:
        return KrakenRest(addresses.rest, exchange_ms, reject, SHARE if share is None else share)

    def enquiry(self, addresses: Addresses) -> Enquiry:
        return KrakenEnquiry(addresses)

    def read_row(
        self, path: str, symbol: str, row: Any, received_ms: int, latest_ms: int
    ) -> tuple[Literal["kline", "trade"], Any] | None:
        if path != "trades":
            raise InvalidMessage("source", f"rest:{path}", "a source of trades")
        # Numbers have to be read with their digits.
        trade = trade_of_row(unlisted(symbol), decode_exact(as_json(row)), received_ms)
        if trade["trade_time_ms"] > latest_ms:
            raise InvalidMessage(
                "trade_time_ms", trade["trade_time_ms"], f"a time up to {latest_ms}, the exchange's latest"
            )
        return "trade", trade


def _subscription(channel: str, symbols: Sequence[str]) -> bytes:
    return _request("subscribe", {"channel": channel, "symbol": list(symbols), **_CHANNELS[channel]})


def _request(method: str, params: Mapping[str, Any]) -> bytes:
    return json.dumps({"method": method, "params": params}, separators=(",", ":")).encode()


KRAKEN: Final[Exchange] = Kraken()
