"""The newest span in which each stream of a symbol was not carried, as kept on `pipeline.progress`. Pure.

The ledger has these spans, but a start does not read it, for it grows for ever. Without them a span that was
open when its producer ended would stay so: nobody would know what to end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from producers.progress import BadProgress
from producers.start_positions import StartPosition
from producers.stream_health import LEDGER_STREAMS, Entry, StreamKey
from shared.errors import InvalidMessage
from shared.messages import LedgerMessage
from shared.shortened import shortened

_SCHEMA: Final = 1
_SERIES: Final = ":uncarried"
_STORED: Final = "an earlier run ended before it was carried again"
_KINDS: Final = {stream: kind for kind, stream in LEDGER_STREAMS.items()}
# The end of a span may be noted here and lost to the ledger, by a kill in the moment between them or a power
# cut, which takes half a minute at most. So it is entered again, which changes nothing if it is there.
_ENTERED_AGAIN_MS: Final = 600_000


class UncarriedSpans:
    """The newest span of each stream of one symbol, by the events that go to the ledger."""

    def __init__(self, before: Iterable[Entry] = ()) -> None:
        self._spans: dict[StreamKey, Entry] = {entry.stream: entry for entry in before}

    def receive(self, events: Iterable[LedgerMessage]) -> bool:
        """Take events; whether a span has begun or ended. That one goes on, as is said every minute, is no
        news."""
        changed = False
        for event in events:
            if event["kind"] != "uncarried":
                continue
            stream: StreamKey = (_KINDS[event["stream"]], event["interval"])
            entry = Entry(stream, event["first"], event["last"], event["detail"] or "")
            before = self._spans.get(stream)
            if before is None or (before.since_ms, before.over) != (entry.since_ms, entry.over):
                self._spans[stream] = entry
                changed = True
        return changed

    def encode(self, now_ms: int) -> bytes:
        """The record of them; inverse of `decode_spans`."""
        spans = [(*entry.stream, *entry[1:]) for entry in self._spans.values()]
        return orjson.dumps({"schema": _SCHEMA, "updated_ms": now_ms, "uncarried": spans})


class SpanRecords:
    """The newest record of each symbol.

    Where the topic has got more partitions a symbol may have records in two: their order is that of their
    times.

    Attributes:
        bad: unreadable records that no later one of their partition replaces.
    """

    def __init__(self, exchange: str, symbols: Iterable[str]) -> None:
        self._symbols = {spans_series(exchange, symbol).encode(): symbol for symbol in symbols}
        self._records: dict[tuple[bytes, int], tuple[int, bytes]] = {}

    def receive(self, key: bytes, partition: int, offset: int, value: bytes | None) -> None:
        """Take a record of `pipeline.progress`, in order of its partition."""
        if key not in self._symbols:
            return
        if value is None:
            self._records.pop((key, partition), None)
        else:
            self._records[key, partition] = offset, value

    def read(self, server_time_ms: int) -> tuple[dict[str, Sequence[Entry]], list[BadProgress]]:
        """The spans of each symbol that a start goes on with, and the unreadable records.

        Args:
            server_time_ms: the exchange's clock; what ended long before is left out.
        """
        newest: dict[str, tuple[int, Sequence[Entry]]] = {}
        bad: list[BadProgress] = []
        for (key, partition), (offset, value) in self._records.items():
            try:
                updated_ms, entries = decode_spans(value)
            except InvalidMessage as error:
                bad.append(BadProgress(partition, offset, key, value, str(error)))
                continue
            symbol = self._symbols[key]
            if symbol not in newest or updated_ms > newest[symbol][0]:
                newest[symbol] = updated_ms, entries
        young_ms = server_time_ms - _ENTERED_AGAIN_MS
        spans = {
            symbol: [entry for entry in entries if not entry.over or entry.until_ms >= young_ms]
            for symbol, (_, entries) in newest.items()
        }
        return {symbol: entries for symbol, entries in spans.items() if entries}, bad


def spans_series(exchange: str, symbol: str) -> str:
    """Key of a symbol's spans on `pipeline.progress`."""
    return f"{exchange}:{symbol}{_SERIES}"


def stored_series(exchange: str, symbol: str, stream: str) -> str:
    """Key of the span of a stream, named as in the store like "klines 1m", in a file of start positions: its
    "last id" is when the span began, and its time when it was last said to go on."""
    return f"{spans_series(exchange, symbol)}:{stream}"


def stored_spans(
    positions: Mapping[str, StartPosition], exchange: str, symbols: Iterable[str]
) -> dict[str, Sequence[Entry]]:
    """By symbol, the spans that are open by the store: an in-memory broker keeps no progress."""
    found: dict[str, Sequence[Entry]] = {}
    for symbol in symbols:
        prefix = stored_series(exchange, symbol, "")
        entries = [
            Entry((_KINDS[stream], interval or None), since.last_id, since.time_ms or since.last_id, _STORED)
            for series, since in positions.items()
            if series.startswith(prefix)
            for stream, _, interval in [series.removeprefix(prefix).partition(" ")]
            if stream in _KINDS
        ]
        if entries:
            found[symbol] = entries
    return found


def decode_spans(value: bytes) -> tuple[int, list[Entry]]:
    """When a record was written, in ms, and its spans.

    Raises:
        InvalidMessage: it is none.
    """
    try:
        read: Mapping[str, Any] = orjson.loads(value)
        if read["schema"] != _SCHEMA:
            raise InvalidMessage("schema", value, f"{_SCHEMA}, the version known here")
        updated_ms, spans = read["updated_ms"], read["uncarried"]
        entries = [
            Entry((kind, interval), since_ms, until_ms, detail)
            for kind, interval, since_ms, until_ms, detail in spans
        ]
    except (orjson.JSONDecodeError, TypeError, KeyError, ValueError) as error:
        raise InvalidMessage("uncarried", value, f"spans of streams ({shortened(error)})") from None
    if type(updated_ms) is not int or not all(map(_makes_sense, entries)):
        raise InvalidMessage("uncarried", value, "spans of streams, with numbers in their places")
    return updated_ms, entries


def _makes_sense(entry: Entry) -> bool:
    kind, interval = entry.stream
    return (
        type(kind) is str
        and kind in LEDGER_STREAMS
        and (kind == "kline") == (type(interval) is str)
        and all(type(time_ms) is int and time_ms >= 0 for time_ms in (entry.since_ms, entry.until_ms))
        and entry.since_ms <= entry.until_ms
        and type(entry.detail) is str
    )
