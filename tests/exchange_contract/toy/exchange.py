"""The toy behind the port: trades by ids, bars built from them, a book by update ids, quotes streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Literal, TypeVar

import orjson

from producers.exchanges.fields import OF_FOREIGN_VALUES, choice_of, field_of, name_of, reason, whole_of
from producers.exchanges.frame_types import LATEST_MS, Ignored, Rejected, Stream, StreamMessage
from producers.exchanges.lane_port import NO_LANES, Lanes, Steps
from producers.exchanges.paced_client import PacedClient
from producers.exchanges.pacing import Pacer
from producers.exchanges.port import (
    Addresses,
    BarsPromise,
    BookPromise,
    Limits,
    Liveness,
    Pace,
    Parser,
    Plan,
    Promises,
    QuotesPromise,
    SnapshotCost,
    TradesPromise,
)
from producers.exchanges.rest_port import (
    PAGE,
    SNAPSHOT_LEVELS,
    TRADING,
    Audit,
    Beside,
    DayTicker,
    Enquiry,
    Issued,
    Listing,
    OptionalRequest,
    Query,
    Reject,
    Rest,
)
from producers.exchanges.stream_events import StreamEvent
from shared.errors import (
    ExchangeRefused,
    ExchangeUnavailable,
    ExchangeUnreadable,
    InvalidMessage,
    UnknownSymbol,
    UsageError,
)
from shared.message_checks import CHECKS_OF_FOREIGN
from shared.messages import DepthMessage, KlineMessage, Source, TradeMessage
from shared.models import SCHEMA_VERSION
from shared.settings import Settings

EXCHANGE: Final = "toy"
KINDS: Final = {"trade": "trade", "book": "depth", "top": "quote"}
_SELLS: Final = {"sell": True, "buy": False}
_A_SECOND: Final = 20.0
_BURST: Final = 40
Answer = TypeVar("Answer")


def _base(fields: Mapping[str, Any], received_ms: int, source: Source, latest_ms: int) -> dict[str, Any]:
    at_ms = whole_of(fields, "at")
    if at_ms > latest_ms:
        raise InvalidMessage("event_time_ms", at_ms, f"a time up to {latest_ms}")
    return {
        "schema": SCHEMA_VERSION,
        "exchange": EXCHANGE,
        "symbol": name_of(fields, "symbol"),
        "event_time_ms": at_ms if source == "stream" else None,
        "received_time_ms": received_ms,
        "source": source,
    }


def _trade(fields: Mapping[str, Any], received_ms: int, source: Source, latest_ms: int) -> dict[str, Any]:
    return _base(fields, received_ms, source, latest_ms) | {
        "trade_id": whole_of(fields, "id"),
        "price": field_of(fields, "price"),
        "quantity": field_of(fields, "amount"),
        "trade_time_ms": whole_of(fields, "at"),
        "buyer_is_maker": choice_of(fields, "taker", _SELLS),
    }


def _depth(fields: Mapping[str, Any], received_ms: int, source: Source, latest_ms: int) -> dict[str, Any]:
    return _base(fields, received_ms, source, latest_ms) | {
        "kind": "diff" if source == "stream" else "snapshot",
        "first_update_id": whole_of(fields, "from"),
        "final_update_id": whole_of(fields, "to"),
        "bids": field_of(fields, "bids"),
        "asks": field_of(fields, "asks"),
    }


def _quote(fields: Mapping[str, Any], received_ms: int, source: Source, latest_ms: int) -> dict[str, Any]:
    (bid, bid_quantity), (ask, ask_quantity) = field_of(fields, "bid"), field_of(fields, "ask")
    return _base(fields, received_ms, source, latest_ms) | {
        "update_id": whole_of(fields, "to"),
        "bid_price": bid,
        "bid_quantity": bid_quantity,
        "ask_price": ask,
        "ask_quantity": ask_quantity,
    }


_READERS: Final = {"trade": _trade, "depth": _depth, "quote": _quote}


def _checked(kind: Literal["trade", "depth", "quote"], message: dict[str, Any]) -> Any:
    CHECKS_OF_FOREIGN[kind](message)
    return message


def parse(frame: bytes, now_ms: int, latest_ms: int = LATEST_MS - 1) -> Sequence[StreamEvent]:
    """A frame is one object; it says by itself what it is."""
    stream = ""
    try:
        fields = orjson.loads(frame)
        stream = str(fields["stream"])[:40]
        if stream == "listening":
            return [Ignored(stream)]
        kind: Any = KINDS[stream]
        message = _READERS[kind](fields, now_ms, "stream", latest_ms)
        return [StreamMessage(kind, _checked(kind, message))]
    except InvalidMessage as error:
        return [Rejected(stream, str(error), error.field, ahead=error.field == "event_time_ms")]
    except (orjson.JSONDecodeError, *OF_FOREIGN_VALUES) as error:
        return [Rejected(stream, reason(error))]


class ToyRest:
    """See `Rest`."""

    def __init__(self, url: str, exchange_ms: Callable[[], int], reject: Reject) -> None:
        self._url, self._exchange_ms, self._reject = url, exchange_ms, reject
        self.budget = Pacer(_A_SECOND, _BURST)
        self._http = PacedClient([url], self.budget)
        self.bounds_ms: Callable[[int], tuple[int, int]] = lambda said_ms: (said_ms, said_ms)
        self.recorded_halts: dict[str, tuple[tuple[int, int], ...]] = {}
        self.listed: dict[str, Any] = {}

    def listing(self, symbol: str) -> Listing | None:
        if symbol not in self.listed:
            return None
        base, _, quote = symbol.partition("-")
        return Listing(base, quote, *(f"{Decimal(1).scaleb(-places):f}" for places in self.listed[symbol]))

    def has_spare(self, request: OptionalRequest) -> bool:
        return True

    async def close(self) -> None:
        await self._http.close()

    async def _get(self, path: str, read: Callable[[Any], Answer], **parameters: Any) -> Answer:
        def decide(status: int, headers: Mapping[str, str], body: bytes, request: str) -> Answer:
            if status != 200:
                raise ExchangeUnavailable(f"{request}: status {status}")
            try:
                return read(orjson.loads(body))
            except (orjson.JSONDecodeError, *OF_FOREIGN_VALUES) as error:
                raise ExchangeUnreadable(f"{request}: {error}") from None

        given = {name: str(value) for name, value in parameters.items()}
        return await self._http.get(f"{self._url}/toy/{path}", given, decide)

    async def time_ms(self) -> int:
        return await self._get("time", lambda body: int(body["now"]))

    async def latest_ms(self) -> int:
        return self.bounds_ms(await self.time_ms())[1]

    async def statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        found = await self.listed_statuses(symbols)
        if len(found) < len(symbols):
            raise UnknownSymbol(f"SYMBOLS: {', '.join(sorted(set(symbols) - set(found)))} are not listed")
        return found

    async def listed_statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        said = await self._get("markets", lambda body: {each["name"]: each for each in body})
        found = {symbol: said[symbol] for symbol in symbols if symbol in said}
        self.listed |= {symbol: each["places"] for symbol, each in found.items()}
        return {symbol: TRADING if each["open"] else "CLOSED" for symbol, each in found.items()}

    async def klines(
        self, symbol: str, interval: str, first: int, last: int, received_ms: int
    ) -> list[KlineMessage]:
        raise ExchangeRefused(f"bars {interval} of {symbol}: they are built from trades")

    async def _page(self, symbol: str, received_ms: int, **given: int) -> list[TradeMessage]:
        def read(body: Any) -> list[TradeMessage]:
            return [
                _checked("trade", _trade(row | {"symbol": symbol}, received_ms, "backfill", LATEST_MS - 1))
                for row in body
            ]

        return await self._get("trades", read, symbol=symbol, **given)

    async def trades(
        self, symbol: str, first: int, last: int, received_ms: int
    ) -> tuple[list[TradeMessage], int]:
        return await self._page(symbol, received_ms, first=first, count=min(PAGE, last - first + 1)), 0

    async def trades_beside(
        self, symbol: str, first: int, last: int, received_ms: int, beside: Beside
    ) -> list[TradeMessage]:
        raise ExchangeRefused(f"trades of {symbol}: they are asked for by their ids")

    async def trades_from(
        self, symbol: str, begin_ms: int, received_ms: Callable[[], int]
    ) -> AsyncIterator[list[TradeMessage]]:
        rows = await self._page(symbol, received_ms(), from_ms=begin_ms, count=PAGE)
        while rows:
            yield rows
            if len(rows) < PAGE:
                return
            rows = await self._page(symbol, received_ms(), first=rows[-1]["trade_id"] + 1, count=PAGE)

    async def newest_trades(self, symbol: str, limit: int, received_ms: int) -> list[TradeMessage]:
        return await self._page(symbol, received_ms, count=limit)

    async def newest_trade(self, symbol: str, received_ms: int) -> TradeMessage | None:
        rows = await self.newest_trades(symbol, 1, received_ms)
        return rows[-1] if rows else None

    async def newest_trade_id(self, symbol: str) -> int | None:
        newest = await self.newest_trade(symbol, self._exchange_ms())
        return None if newest is None else newest["trade_id"]

    async def newest_trade_ids(self, symbols: Sequence[str]) -> dict[str, int]:
        found = {symbol: await self.newest_trade_id(symbol) for symbol in symbols}
        return {symbol: trade_id for symbol, trade_id in found.items() if trade_id is not None}

    async def first_trade(self, symbol: str, begin_ms: int, end_ms: int) -> int | None:
        rows = await self._page(symbol, self._exchange_ms(), from_ms=begin_ms, count=2)
        found = [row["trade_id"] for row in rows if begin_ms <= row["trade_time_ms"] <= end_ms]
        return found[0] if found else None

    async def issued_trades(
        self, symbol: str, begin_ms: int, end_ms: int
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        rows = await self._page(symbol, self._exchange_ms(), from_ms=begin_ms, count=PAGE)
        ids = [row["trade_id"] for row in rows if begin_ms <= row["trade_time_ms"] <= end_ms]
        return ([(ids[0], ids[-1])] if ids else []), []

    async def depth(
        self, symbol: str, received_ms: Callable[[], int], levels: int = SNAPSHOT_LEVELS
    ) -> DepthMessage:
        def read(body: Any) -> DepthMessage:
            fields = body | {"symbol": symbol}
            snapshot: DepthMessage = _checked(
                "depth", _depth(fields, received_ms(), "backfill", LATEST_MS - 1)
            )
            return snapshot

        return await self._get("book", read, symbol=symbol, levels=levels)

    async def day_ticker(self, symbol: str) -> DayTicker:
        raise ExchangeRefused(f"day ticker of {symbol}: there is none")


class _Limits:
    def start_delay_s(self, position: int, intervals: Sequence[str], warmup_bars: int) -> float:
        return 0.0

    def share(self, own: int, deployed: int) -> float | None:
        return None

    def status_period_s(self, symbols: int) -> float:
        return 60.0

    def probe_pace(self, symbols: int) -> Pace:
        return Pace()


class _ToyAudit:
    def reachable(self, rest_url: str) -> str:
        return f"{rest_url}/toy/time"

    def clock(self, rest_url: str) -> Query[int]:
        return Query(f"{rest_url}/toy/time", lambda body: int(body["now"]))

    def newest(self, rest_url: str, symbols: Sequence[str]) -> Sequence[Query[list[Issued]]]:
        return []

    def trade_counts(
        self, rest_url: str, symbol: str, interval: str, first_ms: int, last_ms: int
    ) -> Query[dict[int, int]]:
        raise ExchangeRefused(f"bars {interval} of {symbol}: they are built from trades")


_GUARANTEES: Final = ("all of them", "a toy proves it by ids")


class Toy:
    """See `Exchange`."""

    name = EXCHANGE
    title = "Toy"
    promises = Promises(
        TradesPromise("id", *_GUARANTEES),
        BarsPromise("trades", *_GUARANTEES, warm_up="trades"),
        BookPromise("ids", *_GUARANTEES),
        QuotesPromise("stream", *_GUARANTEES),
        halts="polled",
    )
    # The settings have no names of its own for it.
    settings = Addresses("BINANCE_REST_URL", "BINANCE_WS_URL", "BINANCE_REST_URL")
    limits: Limits = _Limits()
    snapshot_cost = SnapshotCost(symbol=1, statuses=1, statuses_at_once=100, clock=1, limit=1_200, share=0.5)
    audit: Audit = _ToyAudit()

    def addresses(self, settings: Settings) -> Addresses:
        return Addresses(settings.binance_rest_url, settings.binance_ws_url, settings.binance_rest_url)

    def symbol(self, text: str) -> str:
        if text.count("-") != 1:
            raise UsageError(f"{text} is not a market of Toy; write base and quote with a hyphen")
        return text.upper()

    def connections(
        self,
        addresses: Addresses,
        symbols: Sequence[str],
        intervals: Sequence[str],
    ) -> Sequence[Plan]:
        names = {symbol: {channel: f"{channel}@{symbol}" for channel in KINDS} for symbol in symbols}
        listen = orjson.dumps({"listen": [name for each in names.values() for name in each.values()]})
        streams = tuple(
            Stream(symbol, KINDS[channel], None, name)
            for symbol, each in names.items()
            for channel, name in each.items()
        )
        return [
            Plan(
                f"{addresses.stream}/toy",
                addresses.stream,
                streams,
                (listen,),
                liveness=Liveness(),
                setting=self.settings.stream,
            )
        ]

    def parser(self, plan: Plan | None = None) -> Parser:
        return parse

    def lanes(self, plan: Plan, steps: Mapping[str, Steps]) -> Lanes:
        return NO_LANES

    def rest(
        self,
        addresses: Addresses,
        exchange_ms: Callable[[], int],
        reject: Reject,
        share: float | None = None,
    ) -> Rest:
        return ToyRest(addresses.rest, exchange_ms, reject)

    def enquiry(self, addresses: Addresses) -> Enquiry:
        raise ExchangeRefused(f"{addresses.rest}: nobody has single questions to a toy")

    def read_row(
        self, path: str, symbol: str, row: Any, received_ms: int, latest_ms: int
    ) -> tuple[Literal["kline", "trade"], Any] | None:
        if path != "trades":
            raise InvalidMessage("source", f"rest:{path}", "a source of trades")
        return "trade", _checked(
            "trade", _trade(row | {"symbol": symbol}, received_ms, "backfill", latest_ms)
        )


TOY: Final = Toy()
