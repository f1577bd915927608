"""What the REST interface of an exchange gives to the rest of the code: checked messages of the contract.

What an exchange does not have it refuses (`ExchangeRefused`): generic code takes a refusal as an answer
without content, asks again later where that may help, and says what is missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Generic, Literal, NamedTuple, Protocol, TypeVar

from shared.messages import DepthMessage, KlineMessage, TradeMessage

Answer = TypeVar("Answer")

# The status of a symbol that is traded now. Of any other one `statuses` gives the exchange's own word.
TRADING: Final = "TRADING"
# Levels a side requested in a snapshot that begins a book; one with fewer has all.
SNAPSHOT_LEVELS: Final = 1_000
# Most rows of one answer of `klines` and `trades`: an adapter of an exchange with shorter pages joins them.
PAGE: Final = 1_000

# Takes what breaks the contract: source, symbol, reason, bytes.
Reject = Callable[[str, str, str, bytes], None]
# Requests that are only sent where the budget has plenty of room.
OptionalRequest = Literal["book", "top of book", "issued trades"]


class Beside(NamedTuple):
    """What is known of the trades around missing ones.

    Attributes:
        before_ms, after_ms: their times; None if unknown.
        held: the nearest trades on both sides, as the stream gave them.
        marks: ids and times of trades near them whose contents are no longer known. They may be later than
            the trades' own, but for those of an earlier process.
    """

    before_ms: int | None
    after_ms: int | None
    held: tuple[TradeMessage, ...] = ()
    marks: tuple[tuple[int, int], ...] = ()


class Listing(NamedTuple):
    """What an exchange says of an instrument beside its status; None where it does not say.

    Attributes:
        base, quote: its assets.
        tick, lot: least steps of price and quantity, decimal strings.
        alias: the symbol whose messages it sends in place of this one's; None: there is none.
    """

    base: str | None
    quote: str | None
    tick: str | None
    lot: str | None
    alias: str | None = None


class DayTicker(NamedTuple):
    """Statistics of one symbol over the 24 hours that end at `close_time_ms` (the exchange's clock).

    Prices in the quote asset; `base_volume` in the base, `quote_volume` in the quote asset.
    """

    symbol: str
    last_price: Decimal
    change: Decimal
    change_percent: Decimal
    high: Decimal
    low: Decimal
    base_volume: Decimal
    quote_volume: Decimal
    weighted_average_price: Decimal
    close_time_ms: int


class Budget(Protocol):
    """What requests may cost a minute, in the exchange's own unit."""

    @property
    def used(self) -> int:
        """Used in the current minute, as last heard."""

    @property
    def allowed(self) -> int:
        """What this client may use a minute."""


class Rest(Protocol):
    """One client with one budget and bounded retries.

    Every method raises ExchangeUnavailable after some attempts, ExchangeRefused and UnknownSymbol at once.
    Rows that break the contract are rejected and count as missing; an answer without other rows raises
    ExchangeUnreadable.

    Attributes:
        bounds_ms: least and greatest time that it can be, from a time that the exchange says.
        recorded_halts: by symbol, first and last millisecond of spans without bars; only a recorded exchange
            has them.
    """

    bounds_ms: Callable[[int], tuple[int, int]]
    recorded_halts: dict[str, tuple[tuple[int, int], ...]]

    @property
    def listed(self) -> Mapping[str, Any]:
        """By symbol, what `statuses` has learnt that parsers need, of the exchange's own type."""

    def listing(self, symbol: str) -> Listing | None:
        """What `statuses` has learnt of an instrument; None: nothing yet."""

    @property
    def budget(self) -> Budget: ...

    def has_spare(self, request: OptionalRequest) -> bool:
        """Whether an optional request may be sent now: it must leave room to the others."""

    async def close(self) -> None: ...

    async def time_ms(self) -> int:
        """The exchange's clock."""

    async def latest_ms(self) -> int:
        """A time not before anything in earlier answers, by the exchange's clock."""

    async def statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        """Status of each symbol, `TRADING` or the exchange's own word.

        Raises:
            UnknownSymbol: with the unknown symbols and similar names.
        """

    async def listed_statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        """Status of those symbols that are listed."""

    async def klines(
        self, symbol: str, interval: str, first: int, last: int, received_ms: int
    ) -> list[KlineMessage]:
        """Finished bars with open times from `first` to `last`, ascending, at most one page."""

    async def trades(
        self, symbol: str, first: int, last: int, received_ms: int
    ) -> tuple[list[TradeMessage], int]:
        """Trades with ids from `first` to `last`, at most one page; and the lowest available id, 0 if all
        are."""

    async def trades_beside(
        self, symbol: str, first: int, last: int, received_ms: int, beside: Beside
    ) -> list[TradeMessage]:
        """The same of an exchange whose trades are asked for by time: all that it has, or can be proved to be
        of the stream's numbering."""

    def trades_from(
        self, symbol: str, begin_ms: int, received_ms: Callable[[], int]
    ) -> AsyncIterator[list[TradeMessage]]:
        """All trades from a time on, ascending, page by page; each page follows on the one before by proof.

        It begins with a trade before that time, if there is one within a day or the newest page has it, and
        ends with the newest one. For bars that are built from trades. What contradicts pages before, or
        trades known otherwise, is ExchangeUnreadable.
        """

    async def newest_trades(self, symbol: str, limit: int, received_ms: int) -> list[TradeMessage]:
        """The newest trades, ascending, at most a page."""

    async def newest_trade(self, symbol: str, received_ms: int) -> TradeMessage | None:
        """The newest trade, by time; None: there is none."""

    async def newest_trade_id(self, symbol: str) -> int | None:
        """Id of the newest trade, at the least cost; None: there is none."""

    async def newest_trade_ids(self, symbols: Sequence[str]) -> dict[str, int]:
        """Id of the newest trade of each symbol that has one."""

    async def first_trade(self, symbol: str, begin_ms: int, end_ms: int) -> int | None:
        """Id of the first trade between these times, or of one shortly before it; None: none yet."""

    async def issued_trades(
        self, symbol: str, begin_ms: int, end_ms: int
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Ranges of trade ids between these times, and ranges of which is proved that they were never issued.

        Only the first page: the proof ends with it.
        """

    async def depth(
        self, symbol: str, received_ms: Callable[[], int], levels: int = SNAPSHOT_LEVELS
    ) -> DepthMessage:
        """A snapshot of the order book with up to `levels` a side, and the update id that it has."""

    async def day_ticker(self, symbol: str) -> DayTicker:
        """Statistics of the last 24 hours."""


class Enquiry(Protocol):
    """Single questions of one attempt each, for `doctor`; the errors say what to do behind a semicolon."""

    async def close(self) -> None: ...

    async def time_ms(self) -> int:
        """The exchange's clock."""

    async def listed_statuses(self, symbols: Sequence[str]) -> Mapping[str, str]:
        """As `Rest.listed_statuses`."""

    async def names(self) -> Sequence[str]:
        """All symbols, to suggest what was meant."""

    async def old_trades(self, symbol: str) -> None:
        """Returns if trades older than REST's newest ones can be had."""


class Query(NamedTuple, Generic[Answer]):
    """A question to REST with a reader of its JSON, for callers that have a client of their own.

    Attributes:
        read: raises KeyError, TypeError, ValueError, AttributeError or IndexError for foreign content.
    """

    url: str
    read: Callable[[Any], Answer]


# Best bid and ask; an empty side of the order book is None.
Best = tuple[float | None, float | None]


def best_of(bid: Any, ask: Any) -> Best | None:
    """Best prices as numbers, None if the order book is empty. An empty side is None or 0."""
    best = (float(bid or 0) or None, float(ask or 0) or None)
    return None if best == (None, None) else best


class Issued(NamedTuple):
    """What an exchange has issued of a symbol.

    Attributes:
        newest_trade: id; -1 without trades.
        best: None if the book is empty.
    """

    symbol: str
    newest_trade: int
    best: Best | None


class Audit(Protocol):
    """Questions about what an exchange has issued, by which a run is checked from outside."""

    def reachable(self, rest_url: str) -> str:
        """The URL of the cheapest question; any answer will do."""

    def clock(self, rest_url: str) -> Query[int]:
        """The exchange's clock in ms."""

    def newest(self, rest_url: str, symbols: Sequence[str]) -> Sequence[Query[list[Issued]]]:
        """The newest trade and the best prices of all symbols."""

    def trade_counts(
        self, rest_url: str, symbol: str, interval: str, first_ms: int, last_ms: int
    ) -> Query[dict[int, int]]:
        """Number of trades in each bar with these open times, at most a page; by open time."""
