"""The market behind the server: one port, two adapters (the seeded world, the replayed recording)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class KlineRow(NamedTuple):
    """A bar as REST gives it, times in ms, decimals as on the wire (BINANCE_SPOT.md §8.6)."""

    open_time_ms: int
    open: str
    high: str
    low: str
    close: str
    base_volume: str
    close_time_ms: int
    quote_volume: str
    trade_count: int
    taker_buy_base_volume: str
    taker_buy_quote_volume: str

    @classmethod
    def of_event(cls, bar: Mapping[str, Any]) -> KlineRow:
        """From `k` of a kline event (BINANCE_SPOT.md §4.5)."""
        return cls(*(bar[letter] for letter in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q")))


class TradeRow(NamedTuple):
    """A trade as REST gives it (BINANCE_SPOT.md §8.4)."""

    trade_id: int
    price: str
    quantity: str
    quote_quantity: str
    trade_time_ms: int
    buyer_is_maker: bool


class AggregateRow(NamedTuple):
    """An aggregate trade as REST gives it (BINANCE_SPOT.md §8.5)."""

    aggregate_id: int
    price: str
    quantity: str
    first_trade_id: int
    last_trade_id: int
    trade_time_ms: int
    buyer_is_maker: bool


class Depth(NamedTuple):
    """Both sides of a book, best first, as decimal strings."""

    last_update_id: int
    bids: list[list[str]]
    asks: list[list[str]]


class Quotes(NamedTuple):
    """Best bid and ask as decimal strings."""

    bid: str
    bid_quantity: str
    ask: str
    ask_quantity: str


class Window(NamedTuple):
    """Sums over a span of trades; decimals as on the wire (ids −1 and prices 0 when there was none)."""

    open: str
    high: str
    low: str
    last: str
    last_quantity: str
    previous: str
    base_volume: str
    quote_volume: str
    first_trade_id: int
    last_trade_id: int
    trade_count: int
    last_time_ms: int


@dataclass(frozen=True, slots=True)
class Span:
    """Requested items of a list, as BINANCE_SPOT.md §7.3 cuts them; times in ms, inclusive."""

    start_ms: int | None
    end_ms: int | None
    limit: int


class Exchange(Protocol):
    """The market behind the protocol. Methods take the time; none reads a clock.

    Methods that name a symbol are asked only for one of `symbols`.

    Attributes:
        statuses: exchangeInfo's status by symbol, where it is not the usual one.
    """

    @property
    def symbols(self) -> Sequence[str]: ...

    statuses: dict[str, str]

    def klines(
        self, symbol: str, interval: str, offset_ms: int, span: Span, now_ms: int
    ) -> list[KlineRow]: ...

    def depth(self, symbol: str, limit: int, now_ms: int) -> Depth | None:
        """The book as of now; None if unknown."""

    def quotes(self, symbol: str, now_ms: int) -> Quotes | None:
        """The touch as of now; None if unknown."""

    def trades(self, symbol: str, from_id: int | None, limit: int, now_ms: int) -> list[TradeRow]:
        """From an id on, or the newest."""

    def aggregates(self, symbol: str, from_id: int | None, span: Span, now_ms: int) -> list[AggregateRow]: ...

    def window(self, symbol: str, from_ms: int, now_ms: int) -> Window: ...

    def symbol_entries(self, now_ms: int) -> list[Mapping[str, Any]]:
        """The `symbols` array of exchangeInfo."""
