"""Where each series stands according to the store: what a run on the memory broker starts from (DESIGN §7).

The memory broker forgets progress and ledger. The store does not: the newest trade ids and open times become
the producers' bearings, and the ids of each series' newest minute become ledger events again, so that the
ledger's row of that minute stays whole when the run goes on in the middle of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import orjson
from confluent_kafka import Producer

from consumers.stores.port import Reader
from cryptostream.topic_reader import TopicReader
from shared.errors import BrokerUnavailable
from shared.intervals import INTERVAL_MS
from shared.kafka import LIBRDKAFKA_LOG, producer_config
from shared.messages import LedgerMessage, encode, message_key
from shared.models import SCHEMA_VERSION
from shared.topics import LEDGER, LEDGER_SNAPSHOT
from shared.trade_ids import split

_MINUTE_NS: Final = 60_000_000_000
_MS: Final = 1_000_000
_FLUSH_S: Final = 10.0
# How far back trades are looked through for a hole that a killed run was still repairing.
_HOLES_NS: Final = 10 * _MINUTE_NS


@dataclass(frozen=True, slots=True)
class Bearings:
    """What the store knows.

    Attributes:
        last_ids: `binance:BTCUSDC:trades` → trade id up to which nothing is missing;
            `binance:BTCUSDC:klines:1m` → open time of the last closed bar, in ms.
        times_ms: trade time of those of trades.
        ledger: `expected` and `stored` events of the newest minute of each series.
    """

    last_ids: dict[str, int] = field(default_factory=dict)
    times_ms: dict[str, int] = field(default_factory=dict)
    ledger: list[LedgerMessage] = field(default_factory=list)


def read_bearings(
    reader: Reader, exchange: str, symbols: Sequence[str], intervals: Sequence[str], now_ms: int
) -> Bearings:
    """Read the bearings of all series.

    Args:
        now_ms: receive time of the ledger events.

    Raises:
        StoreError: the store cannot be read.
    """
    bearings = Bearings()
    for symbol in symbols:
        _read_trades(reader, bearings, (exchange, symbol), now_ms)
        for interval in intervals:
            _read_klines(reader, bearings, (exchange, symbol, interval), now_ms)
    return bearings


def bare_symbols(bearings: Bearings, exchange: str, symbols: Sequence[str]) -> frozenset[str]:
    """Symbols of which no trade is stored."""
    return frozenset(symbol for symbol in symbols if f"{exchange}:{symbol}:trades" not in bearings.last_ids)


def with_bases(bearings: Bearings, exchange: str, bases: Mapping[str, int]) -> Bearings:
    """Series without a stored trade go on after what the exchange had issued when they were listened to."""
    begun = {f"{exchange}:{symbol}:trades": base for symbol, base in bases.items()}
    return replace(bearings, last_ids={**begun, **bearings.last_ids})


def _read_trades(reader: Reader, bearings: Bearings, series: tuple[str, str], now_ms: int) -> None:
    exchange, symbol = series
    tags = {"exchange": exchange, "symbol": symbol}
    newest = max((int(row["time_ns"] or 0) for row in reader.read("trade", tags, last=1)), default=None)
    if newest is None:
        return
    rows = reader.read("trade", tags, from_ns=newest - _HOLES_NS)
    trades = [(int(row["trade_id"] or 0), int(row["time_ns"] or 0)) for row in rows]
    # Where ids begin anew, nothing is missing between the last of one numbering and the first of the next.
    latest = max(split(number)[0] for number, _ in trades)
    series_name = f"{exchange}:{symbol}:trades"
    last_id = last_before_a_hole(number for number, _ in trades if split(number)[0] == latest)
    bearings.last_ids[series_name] = last_id
    bearings.times_ms[series_name] = dict(trades)[last_id] // _MS
    ledger_series = (exchange, symbol, "trades", None)
    minute = [number for number, time_ns in trades if time_ns >= newest - newest % _MINUTE_NS]
    for epoch in sorted({split(number)[0] for number in minute}):
        numbers = [number for number in minute if split(number)[0] == epoch]
        bearings.ledger.extend(ledger_events(ledger_series, numbers, 1, newest // _MS, now_ms))


def _read_klines(reader: Reader, bearings: Bearings, series: tuple[str, str, str], now_ms: int) -> None:
    exchange, symbol, interval = series
    tags = {"exchange": exchange, "symbol": symbol, "interval": interval}
    newest = max((int(row["time_ns"] or 0) for row in reader.read("kline", tags, last=1)), default=None)
    if newest is None:
        return
    bearings.last_ids[f"{exchange}:{symbol}:klines:{interval}"] = newest // _MS
    rows = reader.read("kline", tags, from_ns=newest - newest % _MINUTE_NS)
    opened = [int(row["time_ns"] or 0) // _MS for row in rows]
    step = INTERVAL_MS[interval]
    ledger_series = (exchange, symbol, "klines", interval)
    bearings.ledger.extend(ledger_events(ledger_series, opened, step, newest // _MS, now_ms))


def last_before_a_hole(ids: Iterable[int]) -> int:
    """The id up to which none is missing, seen from the lowest; ids in any order, at least one."""
    ordered = sorted(set(ids))
    for before, after in pairwise(ordered):
        if after != before + 1:
            return before
    return ordered[-1]


def ledger_events(
    series: tuple[str, str, str, str | None], ids: Sequence[int], step: int, event_time_ms: int, now_ms: int
) -> list[LedgerMessage]:
    """`expected` from the first to the last id and `stored` for each run of ids that are there.

    Args:
        series: exchange, symbol, stream, interval.
        step: distance of neighbouring ids: 1, or the interval in ms for open times.
    """
    if not ids:
        return []
    ordered = sorted(set(ids))
    runs = [[ordered[0], ordered[0]]]
    for item in ordered[1:]:
        if item == runs[-1][1] + step:
            runs[-1][1] = item
        else:
            runs.append([item, item])
    spans = [("expected", ordered[0], ordered[-1]), *(("stored", first, last) for first, last in runs)]
    exchange, symbol, stream, interval = series
    return [
        {
            "schema": SCHEMA_VERSION,
            "exchange": exchange,
            "symbol": symbol,
            "event_time_ms": event_time_ms,
            "received_time_ms": now_ms,
            "source": "stream",
            "stream": stream,
            "interval": interval,
            "kind": kind,
            "first": first,
            "last": last,
            "count": (last - first) // step + 1,
            "detail": "of an earlier run",
        }
        for kind, first, last in spans
    ]


def write_bearings(path: Path, bearings: Bearings) -> Path:
    """Write the last ids, of trades with their times, as producers read them (`--bearings`); the path."""
    entries = {
        series: [last_id, bearings.times_ms[series]] if series in bearings.times_ms else last_id
        for series, last_id in bearings.last_ids.items()
    }
    path.write_bytes(orjson.dumps(entries))
    return path


def has_ledger(address: str) -> bool:
    """Whether a real Kafka has ever had a ledger event, or still has the ledger's snapshot.

    Raises:
        BrokerError, BrokerUnavailable: it does not say.
    """
    with closing(TopicReader(address)) as reader:
        ends = [high for topic in (LEDGER, LEDGER_SNAPSHOT) for _, high in reader.bounds(topic).values()]
    return any(ends)


def publish_ledger(address: str, events: Sequence[LedgerMessage], *, memory: bool) -> None:
    """Put the ledger events on a broker that has none, before any service does.

    Raises:
        BrokerUnavailable: it does not take them within 10 s.
    """
    producer = Producer(
        producer_config(address, "cryptostream-run", memory_broker=memory), logger=LIBRDKAFKA_LOG
    )
    for event in events:
        producer.produce(LEDGER, encode(event), message_key(event["exchange"], event["symbol"]))
    if producer.flush(_FLUSH_S):
        raise BrokerUnavailable(f"{address}: the broker takes no messages; start again")
