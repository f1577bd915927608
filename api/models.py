"""Answers whose shape does not depend on the measurement."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class Rows(BaseModel):
    """Rows by columns.

    Attributes:
        next: `cursor` of the following page; null after the last one.
    """

    columns: list[str]
    types: list[str]
    rows: list[list[Any]]
    next: str | None


class Promises(BaseModel):
    """By what each kind of data is kept whole, in words of the exchange's declaration (docs/exchanges.md).

    Attributes:
        trades_repaired_by: `id`, `time`; null: REST has no trades.
        bars_from: `native`, `trades`.
        book_proved_by: `ids`, `crc`, `counter`; null: the book is not carried.
        quotes_from: `stream`, `book`.
    """

    trades_repaired_by: str | None
    bars_from: str | None
    book_proved_by: str | None
    quotes_from: str | None


class Instrument(BaseModel):
    """An instrument of the settings or of the store.

    Attributes:
        base, quote: its assets, as the exchange says; by its name as long as `listed_ms` is null; null if the
            name does not show them.
        tick, lot: least steps of price and quantity; null if the exchange says none.
        alias: symbol whose messages the exchange sends in place of this one's; null if there is none.
        status: `TRADING`, or the exchange's own word.
        promises: of its exchange.
        listed_ms: since when the exchange says all this; null, as `tick`, `lot`, `alias`, `status` and
            `promises` are, until a producer has told it and the store has it.
        intervals: of bars, shortest first.
        configured: the services follow it.
        stands_in: host and port asked in place of the exchange's own public address, such as a simulator's:
            its prices need not be the market's; null if it is the exchange's own.
        newest_ms: newest open time stored; null if there is none, or the store is away.
    """

    exchange: str
    symbol: str
    base: str | None
    quote: str | None
    tick: float | None
    lot: float | None
    alias: str | None
    status: str | None
    promises: Promises | None
    listed_ms: int | None
    intervals: list[str]
    configured: bool
    stands_in: str | None
    newest_ms: int | None


class Instruments(BaseModel):
    """Attributes:
    reason: why the store was not asked; null if it was.
    grafana: address of the Grafana that shows the same data; null if there is none.
    """

    instruments: list[Instrument]
    reason: str | None
    grafana: str | None


class LedgerSeries(BaseModel):
    """Counts of ids of one series in the span asked for.

    Attributes:
        interval: "" for trades.
        lost: neither stored nor excused, or stored and wrong, of periods that are over for two minutes.
        in_flight: the same of newer periods: most are on their way.
        counted_from_ms: begin of the oldest period of the span from which on none is left out.
        counted_to_ms: end of the newest period that is counted.
        lost_periods_ms: begins of periods with something lost, the newest hundred.
    """

    exchange: str
    symbol: str
    stream: str
    interval: str
    expected: int
    stored: int
    backfilled: int
    halted: int
    lost: int
    in_flight: int
    duplicates: int
    counted_from_ms: int
    counted_to_ms: int
    lost_periods_ms: list[int]


class NotCarried(BaseModel):
    """A stream that lacks data which the exchange has.

    Attributes:
        stream: klines, trades, depth or quotes.
        interval: of klines; "" of others.
        since_ms: the exchange's time of the newest data that came.
        until_ms: when it was said last, by the exchange's time.
    """

    exchange: str
    symbol: str
    stream: str
    interval: str
    since_ms: int
    until_ms: int


class Ledger(BaseModel):
    """Attributes:
    lost: of all series in all of the span; null if a part of it was not counted, and `reason` says which.
        What is known to be lost is said in any case.
    counted_from_ms: since when every series is counted without a break, at the earliest `from_ms`; null if
        none is.
    lost_counted: as `lost`, but of what was counted: nothing else is lost since `counted_from_ms`. Null if
        the end of the span was not counted.
    not_carried: of the streams asked for those that were not carried when the store was told last, whatever
        the span; it keeps that for 7 days.
    """

    from_ms: int
    to_ms: int
    counted_from_ms: int | None
    lost: int | None
    lost_counted: int | None
    reason: str | None
    series: list[LedgerSeries]
    not_carried: list[NotCarried]


class Latest(BaseModel):
    """The newest row of each series; a series that has ended keeps its last row.

    Attributes:
        reason: why there are none; null if there are some.
    """

    columns: list[str]
    types: list[str]
    rows: list[list[Any]]
    server_time_ms: int
    reason: str | None


class Book(BaseModel):
    """An order book as its topic has it.

    Attributes:
        time_ms: of the exchange's last change in it.
        synced: false: the levels may be wrong, and are left out.
        bids, asks: price and quantity of each level, the exchange's strings, best first.
        age_ms: from `time_ms` to the moment asked for.
    """

    exchange: str
    symbol: str
    time_ms: int
    update_id: int
    synced: bool
    bids: list[tuple[str, str]] = Field(max_length=5_000)
    asks: list[tuple[str, str]] = Field(max_length=5_000)
    age_ms: int
