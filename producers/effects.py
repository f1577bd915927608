"""What the cores of a producer want done: the only way in which they reach the outside.

A core returns these values; the shell carries them out and answers with another event.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Publish(NamedTuple):
    """Send a message to a topic.

    Attributes:
        progress_id: the id that this series has reached once the record is delivered, with no hole below it
            but those that are known; None for records that do not move it.
    """

    topic: str
    message: Any
    progress_id: int | None = None


class FetchSnapshot(NamedTuple):
    """Get the order book over REST, `delay_s` seconds from now; answer: `Instrument.receive_snapshot`."""

    symbol: str
    delay_s: float


class FillKlines(NamedTuple):
    """Get finished bars over REST: open times `first` to `last`, both inclusive, at most one page.

    Answer: `Instrument.receive_kline_rows` with the same bounds.
    """

    symbol: str
    interval: str
    first: int
    last: int
    delay_s: float


class FillTrades(NamedTuple):
    """Get the trades with numbers `first` to `last` (`shared.trade_ids`), both inclusive, at most one page.

    Answer: `Instrument.receive_trade_rows` with the same bounds.
    """

    symbol: str
    first: int
    last: int


class ProveTrades(NamedTuple):
    """Find out over REST's aggTrades whether the numbers `first` to `last` (`shared.trade_ids`), which it
    does not have as trades, were ever issued; they lie between the times `begin_ms` and `end_ms`.

    Answer: `Instrument.receive_trade_proof` with the same bounds.
    """

    symbol: str
    first: int
    last: int
    begin_ms: int
    end_ms: int


class AskNewestTrades(NamedTuple):
    """Get REST's newest trades, `delay_s` seconds from now, to judge doubtful ones by.

    Answer: `Instrument.receive_newest_trades`, without any where REST does not answer now.
    """

    symbol: str
    delay_s: float


class Reject(NamedTuple):
    """Put a message aside that was sound in form and cannot be true: to the dead letters."""

    symbol: str
    stream: str
    reason: str
    message: Any


class Distrust(NamedTuple):
    """A stream has said what cannot be: another connection is to carry it; `kind` as in `CHECKS`."""

    symbol: str
    kind: str
    reason: str


class LookAt(NamedTuple):
    """Look over REST at what a silent symbol has, if the weight budget has room; not urgent.

    Answer: `Instrument.receive_look`.

    Attributes:
        trades, book: what to look at.
        since_ms: the first trade since then is wanted too, since the series has none yet.
    """

    trades: bool
    book: bool
    since_ms: int | None


class Looked(NamedTuple):
    """The answer to `LookAt`; None what was not looked at, or was not to be had.

    Attributes:
        first_trade, newest_trade: ids.
        latest_ms: no trade up to the newest one is later than this, by the exchange's clock.
        update_id: of the book.
        best: best bid and ask, each (price, quantity).
    """

    first_trade: int | None = None
    newest_trade: int | None = None
    latest_ms: int | None = None
    update_id: int | None = None
    best: tuple[tuple[float, float], tuple[float, float]] | None = None


class AuditBook(NamedTuple):
    """Get the order book over REST to compare ours with it, if the weight budget has room; not urgent.

    Answer: `Instrument.receive_audit_snapshot`.
    """

    symbol: str


class LedgerEvent(NamedTuple):
    """Something about the completeness of ids `first` to `last` (open times for klines).

    Attributes:
        time_ms: where it belongs in the exchange's time; None for klines, whose ids are times.
    """

    kind: str
    first: int
    last: int
    time_ms: int | None = None
    detail: str | None = None


Effect = (
    Publish
    | FetchSnapshot
    | FillKlines
    | FillTrades
    | ProveTrades
    | AskNewestTrades
    | AuditBook
    | LookAt
    | Reject
    | Distrust
    | LedgerEvent
)

# Rows of one REST answer: the limit of klines and trades (BINANCE_SPOT.md §8.4, §8.6).
PAGE: Final = 1_000
