"""Coinbase's Advanced Trade behind the port: what it promises, and its parts (COINBASE_KRAKEN.md §2, §3)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import orjson

from producers.exchanges.coinbase.answers import trade_of_row
from producers.exchanges.coinbase.audit import CoinbaseAudit
from producers.exchanges.coinbase.enquiry import CoinbaseEnquiry
from producers.exchanges.coinbase.frames import CoinbaseFrames
from producers.exchanges.coinbase.products import Product, unlisted
from producers.exchanges.coinbase.rest import A_SECOND, SHARE, CoinbaseRest
from producers.exchanges.coinbase.trades import EXCHANGE
from producers.exchanges.frame_types import LATEST_MS, Stream
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
from shared.errors import InvalidMessage, UsageError
from shared.settings import Settings
from shared.shortened import quoted

_SETTINGS: Final = Addresses("COINBASE_REST_URL", "COINBASE_WS_URL", "COINBASE_EXCHANGE_URL")
# A jump of a connection's counter costs all books of it.
SYMBOLS_PER_CONNECTION: Final = 10
# Three times the longest seen, the whole book of BTC-USD.
_MAX_FRAME_BYTES: Final = 16_000_000
# Of 8 an address may send (§2.1), half: other connections send too.
_MESSAGES_A_SECOND: Final = 4.0
# Nothing is said about the age of a connection; a day is what others allow.
_AGE_S: Final = 23.5 * 3600
# Heartbeats come each second.
_LIVENESS: Final = Liveness(frame_s=6.0, acknowledged_s=10.0, quiet_s=300.0)
_KINDS: Final[Mapping[str, str]] = {"market_trades": "trade", "level2": "depth"}
# Requests of a symbol's start: product, clock, newest trade, and pages of earlier ones.
_STARTING: Final = 18
_PROMISES: Final = Promises(
    TradesPromise(
        repair="id",
        guarantee="every id once; what is missing is repaired over REST by its ids where the numbering is"
        " proved, and else it is `lost`",
        proof="ids rise by 1; pages of REST that overlap, and have the trades on both sides of a hole as the"
        " stream gave them; of a trade before a restart, its id and time",
        neighbours=True,
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
        integrity="counter",
        guarantee="the whole book, never wrong while `synced`",
        proof="the count of the connection's messages; a jump unsyncs all books of the connection",
    ),
    QuotesPromise(source="book", guarantee="the best prices of the synced book", proof="as of the book"),
    halts="the products' statuses, polled",
)


def _read_alone(frame: bytes, now_ms: int, latest_ms: int = LATEST_MS - 1) -> Sequence[StreamEvent]:
    """Read a frame out of its order, under the product that it names."""
    return CoinbaseFrames(_products_in(frame)).parse(frame, now_ms, latest_ms)


def _products_in(frame: bytes) -> dict[str, Product]:
    try:
        events = orjson.loads(frame)["events"]
        named = [each for event in events for each in (event, *event.get("trades", ()))]
        symbols = {str(each["product_id"]) for each in named if "product_id" in each}
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        return {}
    return {symbol: unlisted(symbol) for symbol in symbols}


class Coinbase:
    """See `Exchange`."""

    name = EXCHANGE
    title = "Coinbase"
    promises = _PROMISES
    settings = _SETTINGS
    limits: Limits = PacedLimits(A_SECOND, SHARE, _STARTING, symbol_s=1.0)
    snapshot_cost = SnapshotCost(
        symbol=3, statuses=1, statuses_at_once=100, clock=1, limit=round(A_SECOND * 60), share=SHARE
    )
    audit: Audit = CoinbaseAudit()

    def addresses(self, settings: Settings) -> Addresses:
        return Addresses(settings.coinbase_rest_url, settings.coinbase_ws_url, settings.coinbase_exchange_url)

    def symbol(self, text: str) -> str:
        symbol = text.upper()
        base, hyphen, quote = symbol.partition("-")
        if not hyphen or not base.isalnum() or not quote.isalnum():
            raise UsageError(
                f"{quoted(text)} is not a product of Coinbase; write base and quote with a hyphen,"
                " like BTC-USD"
            )
        return symbol

    def connections(
        self,
        addresses: Addresses,
        symbols: Sequence[str],
        intervals: Sequence[str],  # noqa: ARG002 - bars are built
    ) -> list[Plan]:
        groups = [
            symbols[at : at + SYMBOLS_PER_CONNECTION] for at in range(0, len(symbols), SYMBOLS_PER_CONNECTION)
        ]
        return [_plan(addresses, group) for group in groups]

    def parser(self, plan: Plan | None = None) -> Parser:
        if plan is None:
            return _read_alone
        symbols = dict.fromkeys(stream.symbol for stream in plan.streams)
        return CoinbaseFrames({each: plan.listed.get(each) or unlisted(each) for each in symbols}).parse

    def lanes(self, plan: Plan, steps: Mapping[str, Steps]) -> Lanes:  # noqa: ARG002
        return NO_LANES  # messages are counted across channels

    def rest(
        self,
        addresses: Addresses,
        exchange_ms: Callable[[], int],
        reject: Reject,
        share: float | None = None,
    ) -> Rest:
        return CoinbaseRest(addresses, exchange_ms, reject, SHARE if share is None else share)

    def enquiry(self, addresses: Addresses) -> Enquiry:
        return CoinbaseEnquiry(addresses)

    def read_row(
        self, path: str, symbol: str, row: Any, received_ms: int, latest_ms: int
    ) -> tuple[Literal["kline", "trade"], Any] | None:
        if path != "trades":
            raise InvalidMessage("source", f"rest:{path}", "a source of trades")
        return "trade", trade_of_row(symbol, row, received_ms, latest_ms)


def _plan(addresses: Addresses, symbols: Sequence[str]) -> Plan:
    # Heartbeats first: the server drops a connection that has subscribed to nothing for 5 s, and channels
    # that are silent for a minute.
    opening = [_request("subscribe", "heartbeats")]
    opening += [_request("subscribe", channel, symbols) for channel in _KINDS]
    return Plan(
        addresses.stream,
        addresses.stream,
        tuple(Stream(symbol, kind, None, channel) for symbol in symbols for channel, kind in _KINDS.items()),
        tuple(opening),
        max_frame_bytes=_MAX_FRAME_BYTES,
        age_s=_AGE_S,
        liveness=_LIVENESS,
        setting=_SETTINGS.stream,
        place_hint="nothing else serves its market data",
        renewals={
            symbol: (_request("unsubscribe", "level2", [symbol]), _request("subscribe", "level2", [symbol]))
            for symbol in symbols
        },
        messages_a_second=_MESSAGES_A_SECOND,
    )


def _request(kind: str, channel: str, symbols: Sequence[str] = ()) -> bytes:
    products = {"product_ids": list(symbols)} if symbols else {}
    return json.dumps({"type": kind, "channel": channel, **products}, separators=(",", ":")).encode()


COINBASE: Final[Exchange] = Coinbase()
