"""The messages on Kafka (DESIGN §4.2), declared as pydantic models and exported to docs/schemas.

Services use checks compiled from the models (`shared.message_checks`), which are 20 times faster.

Prices and quantities are the exchange's own decimal strings. Times are milliseconds since the epoch, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.trade_ids import EPOCH_SPAN, MAX_EPOCH

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Expected:
    """A type's name in an error."""

    text: str


# int64: what line protocol, SQLite and the exchange's own ids hold.
Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1), Expected("a 64-bit integer")]
Count = Annotated[int, Field(ge=0, le=2**63 - 1), Expected("an integer from 0 to 2^63-1")]
# Exchanges count trades and book updates from 0; some JSON readers lose precision from 2^53 on.
Id = Annotated[int, Field(ge=0, le=EPOCH_SPAN - 1), Expected("an integer from 0 to 2^53-1")]
# -1: there is none.
IdOrNone = Annotated[int, Field(ge=-1, le=EPOCH_SPAN - 1), Expected("an integer from -1 to 2^53-1")]
Epoch = Annotated[int, Field(ge=0, le=MAX_EPOCH), Expected(f"a numbering from 0 to {MAX_EPOCH}")]
# No sign, no exponent, ASCII digits: what Binance sends (BINANCE_SPOT.md §4.1).
DecimalString = Annotated[str, Field(pattern=r"^[0-9]{1,20}(\.[0-9]{1,20})?$")]
Name = Annotated[str, Field(min_length=1, max_length=64), Expected("a name of 1 to 64 characters")]
Text = Annotated[str, Expected("a text")]
Level = Annotated[list[DecimalString], Field(min_length=2, max_length=2)]
Source = Annotated[Literal["stream", "backfill", "replay"], Expected("stream, backfill or replay")]


class Message(BaseModel):
    """Fields that every message has. Unknown fields are ignored: a newer producer may add some."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, populate_by_name=True)

    # As bounds, because Literal[1] lets `true` through.
    schema_version: Annotated[int, Expected(f"{SCHEMA_VERSION}, the known schema version")] = Field(
        alias="schema", ge=SCHEMA_VERSION, le=SCHEMA_VERSION
    )
    exchange: Name
    symbol: Name
    event_time_ms: Count | None
    received_time_ms: Count
    source: Source


class Kline(Message):
    """One bar, final if `closed`. Trade ids are null over REST and -1 for a bar without trades."""

    interval: Name
    open_time_ms: Count
    close_time_ms: Count
    open: DecimalString
    high: DecimalString
    low: DecimalString
    close: DecimalString
    base_volume: DecimalString
    quote_volume: DecimalString
    trade_count: Count
    taker_buy_base_volume: DecimalString
    taker_buy_quote_volume: DecimalString
    first_trade_id: IdOrNone | None
    last_trade_id: IdOrNone | None
    closed: bool


class Trade(Message):
    """One trade. `epoch` is the numbering of its id (`shared.trade_ids`); the first, 0, is left out."""

    trade_id: Id
    price: DecimalString
    quantity: DecimalString
    trade_time_ms: Count
    buyer_is_maker: bool
    epoch: Epoch = 0


class Depth(Message):
    """An applied order-book diff (absolute quantities, "0.0…" deletes) or a full snapshot."""

    kind: Annotated[Literal["diff", "snapshot"], Expected("diff or snapshot")]
    first_update_id: Id
    final_update_id: Id
    bids: list[Level]
    asks: list[Level]


class Book(Message):
    """Top 20 levels of the verified book, best first; both sides empty while not `synced`."""

    update_id: Id
    bids: list[Level]
    asks: list[Level]
    synced: bool
    age_ms: Int64


class Quote(Message):
    """Best bid and ask; price and quantity of an empty side are null."""

    update_id: Id
    bid_price: DecimalString | None
    bid_quantity: DecimalString | None
    ask_price: DecimalString | None
    ask_quantity: DecimalString | None


LedgerStream = Literal["klines", "trades", "depth", "book", "quotes"]
LedgerKind = Literal[
    "expected",
    "stored",
    "gap",
    "repaired",
    "halted",
    "offline",
    "lost",
    "incomplete",
    "duplicate",
    "late",
    "revised",
    "unsynced",
    "uncarried",
    "stopped",
]


class Ledger(Message):
    """A completeness event about the ids `first` to `last` of one stream (open times for klines).

    `uncarried` is about a time: from when to when (ms) the exchange had data that the stream did not carry;
    it counts 0, and `detail` says why. `incomplete` bars are published, and trades that they have or may have
    are not in them, or are not the one whose price they repeat. `revised` bars are right as published last,
    unless `detail` begins with "trades say": their values are not those of their trades. `stopped` is a
    producer's last event of a series at an orderly stop, with the time of the stop.
    """

    stream: Annotated[LedgerStream, Expected("a stream that the ledger knows")]
    interval: Name | None
    kind: Annotated[LedgerKind, Expected("a kind that the ledger knows")]
    first: Int64
    last: Int64
    count: Count
    detail: Text | None


MODELS: dict[str, type[Message]] = {
    "kline": Kline,
    "trade": Trade,
    "depth": Depth,
    "book": Book,
    "quote": Quote,
    "ledger": Ledger,
}
