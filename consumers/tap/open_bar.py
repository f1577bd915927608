"""The open bar of a series: the exchange's last update with all trades since. Pure.

Updates and trades come from two topics, each in its order, one ahead of the other at times. A bar is the
exchange's last update of it and the trades of higher ids without a gap; behind a gap it stays as it is until
the missing trade or the next update arrives. Sums are decimal, so that they equal the exchange's own.
"""

from __future__ import annotations

from decimal import Context, Decimal, Inexact
from typing import Final, NamedTuple

from consumers.measurements import Value
from shared.messages import KlineMessage, TradeMessage

# Trades since an update, which comes every second or two; beyond, the next update is awaited.
MAX_PENDING: Final = 20_000
# As the sums of `consumers.enrich.trade_windows`: a sum that had to be rounded would be an error.
_EXACT: Final = Context(prec=120, traps=[Inexact])
_ZERO: Final = Decimal(0)


class Trade(NamedTuple):
    """A trade with its numbers parsed once for all intervals."""

    epoch: int
    trade_id: int
    time_ms: int
    event_ms: int
    price: Decimal
    quantity: Decimal
    quote: Decimal
    buyer_is_maker: bool

    @classmethod
    def of(cls, message: TradeMessage) -> Trade:
        price, quantity = Decimal(message["price"]), Decimal(message["quantity"])
        time_ms, event_ms = message["trade_time_ms"], message["event_time_ms"]
        return cls(
            message.get("epoch", 0),
            message["trade_id"],
            time_ms,
            time_ms if event_ms is None else event_ms,
            price,
            quantity,
            _EXACT.multiply(price, quantity),
            message["buyer_is_maker"],
        )


class BarRow(NamedTuple):
    """Values in the order of `kline_live`'s columns."""

    open_time_ms: int
    values: tuple[Value, ...]
    event_ms: int


class _Bar:
    __slots__ = ("close", "event_ms", "high", "low", "open", "open_ms", "sums", "trade_count")

    def __init__(self, open_ms: int, price: Decimal) -> None:
        self.open_ms = open_ms
        self.open = self.high = self.low = self.close = price
        # base, quote, taker's base and quote
        self.sums = (_ZERO, _ZERO, _ZERO, _ZERO)
        self.trade_count = 0
        self.event_ms = 0

    @classmethod
    def of(cls, message: KlineMessage) -> _Bar:
        bar = cls(message["open_time_ms"], Decimal(message["open"]))
        bar.high, bar.low = Decimal(message["high"]), Decimal(message["low"])
        bar.close = Decimal(message["close"])
        bar.sums = (
            Decimal(message["base_volume"]),
            Decimal(message["quote_volume"]),
            Decimal(message["taker_buy_base_volume"]),
            Decimal(message["taker_buy_quote_volume"]),
        )
        bar.trade_count = message["trade_count"]
        bar.event_ms = _event_ms(message)
        return bar

    def copy(self) -> _Bar:
        bar = _Bar(self.open_ms, self.open)
        bar.high, bar.low, bar.close = self.high, self.low, self.close
        bar.sums, bar.trade_count, bar.event_ms = self.sums, self.trade_count, self.event_ms
        return bar

    def add(self, trade: Trade) -> None:
        price = trade.price
        if self.trade_count == 0:
            # The exchange gives a bar without trades the price before it.
            self.open = self.high = self.low = price
        self.high, self.low, self.close = max(self.high, price), min(self.low, price), price
        base, quote, taker_base, taker_quote = self.sums
        base, quote = _EXACT.add(base, trade.quantity), _EXACT.add(quote, trade.quote)
        if not trade.buyer_is_maker:
            taker_base = _EXACT.add(taker_base, trade.quantity)
            taker_quote = _EXACT.add(taker_quote, trade.quote)
        self.sums = (base, quote, taker_base, taker_quote)
        self.trade_count += 1
        self.event_ms = max(self.event_ms, trade.event_ms)

    def row(self) -> BarRow:
        prices = map(float, (self.open, self.high, self.low, self.close))
        return BarRow(self.open_ms, (*prices, *map(float, self.sums), self.trade_count), self.event_ms)


class OpenBar:
    """The open bar of one series.

    Args:
        interval_ms: length of a bar.
    """

    def __init__(self, interval_ms: int) -> None:
        self._interval_ms = interval_ms
        self._base: _Bar | None = None
        self._bar: _Bar | None = None
        self._ended: list[_Bar] = []  # since the last `take`
        self._floor_ms = 0  # bars that open before have ended
        self._updated_ms = 0  # event time of the update
        self._epoch = 0
        self._covered: int | None = None  # trades up to this id are in the update, or in earlier bars
        self._next_id = 0
        self._pending: dict[int, Trade] = {}
        self._shown: BarRow | None = None

    def update(self, message: KlineMessage) -> None:
        """The exchange's values of an open or a closed bar; older ones change nothing."""
        open_ms, event_ms = message["open_time_ms"], _event_ms(message)
        if open_ms < self._floor_ms:
            return
        if message["closed"]:
            self._base, self._floor_ms, self._updated_ms = None, open_ms + self._interval_ms, 0
        else:
            if open_ms == self._floor_ms and event_ms < self._updated_ms:
                return
            self._base, self._floor_ms, self._updated_ms = _Bar.of(message), open_ms, event_ms
        last_id = message["last_trade_id"]
        if last_id is not None and last_id >= 0:
            self._cover(last_id)
        self._fold_again()

    def trade(self, trade: Trade) -> None:
        """A trade of any time; one that the update contains changes nothing."""
        if trade.epoch != self._epoch:
            if trade.epoch < self._epoch:
                return
            # Ids began anew: only an update says from which on.
            self._epoch, self._covered = trade.epoch, None
            self._pending.clear()
        if self._covered is not None and trade.trade_id <= self._covered:
            return
        if len(self._pending) >= MAX_PENDING:
            self._pending.clear()
        self._pending[trade.trade_id] = trade
        if self._covered is not None and trade.trade_id == self._next_id:
            self._fold()

    def take(self) -> list[BarRow]:
        """Bars that changed since the last call, the open one last: also where only earlier ones did, since
        what is given last counts as the open one."""
        bars = [*self._ended, *([self._bar] if self._bar is not None else [])]
        self._ended.clear()
        rows = [bar.row() for bar in bars]
        if rows == [self._shown]:
            return []
        if rows:
            self._shown = rows[-1]
        return rows

    def newest(self) -> BarRow | None:
        """The open bar as it is."""
        return self._bar.row() if self._bar is not None else None

    def _cover(self, last_id: int) -> None:
        """The update contains all trades up to this id."""
        self._covered = last_id
        if len(self._pending) and min(self._pending) <= last_id:
            self._pending = {each: trade for each, trade in self._pending.items() if each > last_id}

    def _fold_again(self) -> None:
        self._bar = self._base.copy() if self._base is not None else None
        if self._covered is not None:
            self._next_id = self._covered + 1
            self._fold()

    def _fold(self) -> None:
        while (trade := self._pending.get(self._next_id)) is not None:
            self._next_id += 1
            open_ms = trade.time_ms - trade.time_ms % self._interval_ms
            if open_ms < (self._bar.open_ms if self._bar is not None else self._floor_ms):
                continue  # of a bar that has ended
            if self._bar is None or open_ms > self._bar.open_ms:
                if self._bar is not None:
                    self._ended.append(self._bar)
                self._bar = _Bar(open_ms, trade.price)
            self._bar.add(trade)


def _event_ms(message: KlineMessage) -> int:
    event_ms = message["event_time_ms"]
    return message["close_time_ms"] if event_ms is None else event_ms
