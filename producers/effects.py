"""The effects of a producer's cores, their only way to the outside.

A core returns these values; the shell runs them and answers with another event.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from producers.exchanges.rest_port import Beside
from shared.models import LedgerKind


class Publish(NamedTuple):
    """Send a message to a topic.

    Attributes:
        progress_id: the id that the series has reached once the record is delivered, with only known holes
            below; None for records that do not advance it.
    """

    topic: str
    message: Any
    progress_id: int | None = None


class FetchSnapshot(NamedTuple):
    """Get the order book over REST, `delay_s` seconds from now; answer: `Instrument.receive_snapshot`."""

    symbol: str
    delay_s: float


class Resubscribe(NamedTuple):
    """Subscribe to the book again, `delay_s` seconds from now: the stream then brings a new snapshot.

    It replaces an earlier one that waits, and falls away if a snapshot comes before (`awaits_book`).

    Attributes:
        connection: the one that it comes on, as `Instrument.receive_book` was told.
    """

    symbol: str
    connection: object
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

    Attributes:
        beside: of an exchange whose REST goes by time: what is known of the trades around them.
    """

    symbol: str
    first: int
    last: int
    beside: Beside | None = None


class ReadTrades(NamedTuple):
    """Get all trades from a time on over REST, page by page, to build bars of.

    Answer: `Instrument.receive_history` for each page, at last an empty one.

    Attributes:
        begins_ms: times from which on they are wanted, ascending: the first that is not too long ago counts.
        most: of trades, where a later time would do.
        likely: which of the times, by its place, is asked about first.
        newest: the exchange's id of the newest trade, if it has just said it.
    """

    symbol: str
    begins_ms: tuple[int, ...]
    most: int
    likely: int = 0
    newest: int | None = None


class ProveTrades(NamedTuple):
    """Find out by aggTrades whether the numbers `first` to `last` (`shared.trade_ids`), which REST does not
    have as trades, were ever issued; they lie between the times `begin_ms` and `end_ms`.

    Answer: `Instrument.receive_trade_proof` with the same bounds.
    """

    symbol: str
    first: int
    last: int
    begin_ms: int
    end_ms: int


class AskNewestTrades(NamedTuple):
    """Get REST's newest trades, `delay_s` seconds from now, to classify doubtful ones.

    Answer: `Instrument.receive_newest_trades`, without rows if REST does not answer now.
    """

    symbol: str
    delay_s: float


class Reject(NamedTuple):
    """Send a well-formed message with impossible content to the dead letters."""

    symbol: str
    stream: str
    reason: str
    message: Any


class Distrust(NamedTuple):
    """A stream has impossible content: replace its connection; `kind` as in `CHECKS`."""

    symbol: str
    kind: str
    reason: str


class ProbeStreams(NamedTuple):
    """Ask REST for the newest data of a silent symbol, if the weight budget has room; not urgent.

    Answer: `Instrument.receive_probe`.

    Attributes:
        trades, book: what to ask for.
        since_ms: get the first trade since then, too: the series has none yet.
    """

    trades: bool
    book: bool
    since_ms: int | None


class ProbeResult(NamedTuple):
    """The answer to `ProbeStreams`; None: not asked for, or not available.

    Attributes:
        first_trade, newest_trade: ids.
        latest_ms: a time not before that of the newest trade, by the exchange's clock.
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
        time_ms: by the exchange's clock; None for klines, whose ids are times.
    """

    kind: LedgerKind
    first: int
    last: int
    time_ms: int | None = None
    detail: str | None = None


Effect = (
    Publish
    | FetchSnapshot
    | Resubscribe
    | FillKlines
    | FillTrades
    | ReadTrades
    | ProveTrades
    | AskNewestTrades
    | AuditBook
    | ProbeStreams
    | Reject
    | Distrust
    | LedgerEvent
)
