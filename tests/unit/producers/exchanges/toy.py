"""A fourth exchange, as one folder would hold it: trades by ids, many in a frame, and nothing else.

Its frames are lists of `[id, price, quantity, buyer is maker, time in ms]`; "alive" is a sign of life.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, Literal, cast

import orjson

from producers.exchanges.frame_types import LATEST_MS, Ignored, Parsed, Rejected, Stream, StreamMessage
from producers.exchanges.lane_port import NO_LANES, Lanes, Steps
from producers.exchanges.port import (
    Addresses,
    BarsPromise,
    BookPromise,
    Exchange,
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
    TRADING,
    Audit,
    Beside,
    Enquiry,
    Listing,
    OptionalRequest,
    Reject,
    Rest,
)
from shared.errors import ExchangeRefused, InvalidMessage, UnknownSymbol, UsageError
from shared.message_checks import CHECKS_OF_FOREIGN
from shared.messages import Source, TradeMessage
from shared.settings import Settings
from tests.builders import trade

NAME: Final = "toy"
# What it has issued, by id: REST has all of it.
ISSUED: Final[dict[int, list[Any]]] = {}
# The newest trades that REST named.
NAMED: Final[list[int]] = []


def issue(count: int) -> list[list[Any]]:
    """So many trades more."""
    now_ms = time.time_ns() // 1_000_000
    rows: list[list[Any]] = [
        [at, "1.5", "2.0", False, now_ms] for at in range(len(ISSUED) + 1, len(ISSUED) + 1 + count)
    ]
    ISSUED.update({row[0]: row for row in rows})
    return rows


class ToyParser:
    """Counts its frames, as exchanges do whose order only the connection tells."""

    def __init__(self) -> None:
        self.frames = 0

    def __call__(self, frame: bytes, now_ms: int, latest_ms: int = LATEST_MS - 1) -> Sequence[Parsed]:
        self.frames += 1
        rows = orjson.loads(frame)
        if rows == "alive":
            return [Ignored("alive")]
        return [_event(row, now_ms, latest_ms) for row in rows]


def _event(row: Any, now_ms: int, latest_ms: int) -> Parsed:
    try:
        message = _trade(row, now_ms, "stream")
        if message["trade_time_ms"] > latest_ms:
            return Rejected("trades", "a time ahead", "trade_time_ms", ahead=True, symbol="T/USD")
        return StreamMessage("trade", message)
    except InvalidMessage as error:
        return Rejected("trades", str(error), symbol="T/USD")


def _trade(row: list[Any], received_ms: int, source: Source) -> TradeMessage:
    trade_id, price, quantity, maker, time_ms = row
    message = trade(
        exchange=NAME,
        symbol="T/USD",
        source=source,
        trade_id=trade_id,
        price=price,
        quantity=quantity,
        buyer_is_maker=maker,
        trade_time_ms=time_ms,
        event_time_ms=time_ms if source == "stream" else None,
        received_time_ms=received_ms,
    )
    CHECKS_OF_FOREIGN["trade"](cast(Any, message))
    return message


class ToyRest:
    """Trades, the clock and statuses; it refuses all else."""

    used = allowed = 0

    def __init__(self) -> None:
        self.bounds_ms: Callable[[int], tuple[int, int]] = lambda said_ms: (said_ms, said_ms)
        self.recorded_halts: dict[str, tuple[tuple[int, int], ...]] = {}
        self.budget = self
        self.listed: dict[str, Any] = {}

    def listing(self, symbol: str) -> Listing | None:
        base, _, quote = symbol.partition("/")
        return Listing(base, quote, None, None)

    def has_spare(self, _request: OptionalRequest) -> bool:
        return True

    async def close(self) -> None:
        """Nothing is open."""

    async def time_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def latest_ms(self) -> int:
        return await self.time_ms()

    async def statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        found = await self.listed_statuses(symbols)
        if len(found) < len(symbols):
            raise UnknownSymbol("SYMBOLS: toy has only T/USD")
        return found

    async def listed_statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        return {symbol: TRADING for symbol in symbols if symbol == "T/USD"}

    async def trades(
        self, _symbol: str, first: int, last: int, received_ms: int
    ) -> tuple[list[TradeMessage], int]:
        wanted = [ISSUED[at] for at in range(first, last + 1) if at in ISSUED]
        return [_trade(row, received_ms, "backfill") for row in wanted], 0

    async def trades_beside(
        self, symbol: str, first: int, last: int, received_ms: int, _beside: Beside
    ) -> list[TradeMessage]:
        return (await self.trades(symbol, first, last, received_ms))[0]

    async def trades_from(
        self, _symbol: str, begin_ms: int, received_ms: Callable[[], int]
    ) -> AsyncIterator[list[TradeMessage]]:
        rows = [row for row in ISSUED.values() if row[4] >= begin_ms]
        if rows:
            yield [_trade(row, received_ms(), "backfill") for row in rows]

    async def newest_trade_ids(self, symbols: Sequence[str]) -> dict[str, int]:
        NAMED.append(len(ISSUED))
        return dict.fromkeys(symbols, len(ISSUED)) if ISSUED else {}

    async def newest_trade_id(self, _symbol: str) -> int | None:
        return len(ISSUED) or None

    async def first_trade(self, *_: Any) -> int | None:
        return None

    async def newest_trade(self, *_: Any) -> TradeMessage | None:
        return None

    async def newest_trades(self, *_: Any) -> list[TradeMessage]:
        return []

    async def issued_trades(self, *_: Any) -> Any:
        raise ExchangeRefused("toy proves nothing")

    async def klines(self, *_: Any) -> Any:
        raise ExchangeRefused("toy has no bars")

    async def depth(self, *_: Any) -> Any:
        raise ExchangeRefused("toy has no book")

    async def day_ticker(self, *_: Any) -> Any:
        raise ExchangeRefused("toy has no ticker")


class ToyEnquiry(ToyRest):
    """The same without retries, which it has none of."""

    async def names(self) -> list[str]:
        return ["T/USD"]

    async def old_trades(self, _symbol: str) -> None:
        raise ExchangeRefused("toy: no old trades")


class _Limits:
    def start_delay_s(self, _position: int, _intervals: Sequence[str], _warmup_bars: int) -> float:
        return 0.0

    def share(self, _own: int, _deployed: int) -> float | None:
        return None

    def status_period_s(self, _symbols: int) -> float:
        return 60.0

    def probe_pace(self, _symbols: int) -> Pace:
        return Pace()


class Toy:
    """See `Exchange`."""

    name = NAME
    title = "Toy"
    promises = Promises(
        TradesPromise("id", "every id once", "ids rise by 1"),
        BarsPromise("trades", "from trades", "no trade below is missing", "none"),
        BookPromise(None, "none", "none"),
        QuotesPromise("stream", "none", "none"),
        halts="never",
    )
    settings = Addresses("TOY_REST_URL", "TOY_WS_URL", "TOY_REST_URL")
    limits: Limits = _Limits()
    snapshot_cost = SnapshotCost(symbol=1, statuses=1, statuses_at_once=1, clock=1, limit=60, share=0.5)

    @property
    def audit(self) -> Audit:
        raise NotImplementedError("no test lets a whole run look at it")

    def addresses(self, settings: Settings) -> Addresses:
        return Addresses("http://toy", settings.binance_ws_url, "http://toy")

    def symbol(self, text: str) -> str:
        if text.upper() != "T/USD":
            raise UsageError(f"{text}: toy has only T/USD")
        return "T/USD"

    def connections(
        self, addresses: Addresses, symbols: Sequence[str], _intervals: Sequence[str]
    ) -> list[Plan]:
        return [
            Plan(
                addresses.stream,
                addresses.stream,
                tuple(Stream(symbol, "trade", None, "trades") for symbol in symbols),
                opening=(orjson.dumps({"subscribe": list(symbols)}),),
                liveness=Liveness(frame_s=5.0),
                setting=self.settings.stream,
            )
        ]

    def parser(self, _plan: Plan | None = None) -> Parser:
        return ToyParser()

    def lanes(self, plan: Plan, steps: Mapping[str, Steps]) -> Lanes:
        return NO_LANES

    def rest(
        self,
        _addresses: Addresses,
        _exchange_ms: Callable[[], int],
        _reject: Reject,
        _share: float | None = None,
    ) -> Rest:
        return ToyRest()

    def enquiry(self, _addresses: Addresses) -> Enquiry:
        return ToyEnquiry()

    def read_row(
        self, path: str, _symbol: str, row: Any, received_ms: int, _latest_ms: int
    ) -> tuple[Literal["kline", "trade"], Any] | None:
        if path != "trades":
            raise InvalidMessage("source", path, "a source of trades")
        return "trade", _trade(row, received_ms, "backfill")


TOY: Final[Exchange] = Toy()
