"""A recording as an exchange: its frames in time, its REST answers as of the place that has been reached."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import orjson

from simulator.exchange import AggregateRow, Depth, KlineRow, Quotes, Span, TradeRow, Window
from simulator.protocol.envelopes import Outgoing, with_times
from simulator.protocol.exchange_info import symbol_entry
from simulator.recordings.closed_spans import closed_spans
from simulator.recordings.played import PlayedRecords
from simulator.recordings.recording import Recording
from simulator.world.calendar import bar_open
from simulator.world.instruments import split_symbol

_ZERO: Final = "0.00000000"


class RecordedEvent(Outgoing):
    """A frame that is sent with the bytes it was recorded with.

    Args:
        body: those; None where they were changed, and are to be made from the event.
        genuine: it is what an exchange issues: readable.
    """

    __slots__ = ("_recorded",)

    def __init__(
        self, stream: str, event: Mapping[str, Any], received_ms: int, body: bytes | None, *, genuine: bool
    ) -> None:
        super().__init__(stream, event, received_ms, time_ms=received_ms, genuine=genuine)
        self._recorded = body

    def body(self, *, microseconds: bool) -> bytes:
        if self._recorded is None or microseconds:
            return super().body(microseconds=microseconds)
        return self._recorded


class Player:
    """Plays one recording once. REST knows what was played, and all archived klines.

    Attributes:
        first_ms: time of the first frame (without frames: the end of the last kline), shifted.
        played: frames given out so far, wanted or not.
        frozen: True stops the recording where it is.
    """

    def __init__(self, recording: Recording, shift_ms: int = 0) -> None:
        self._recording = recording
        self._shift_ms = shift_ms
        klines: dict[tuple[str, str], dict[int, KlineRow]] = {
            series: {
                row.open_time_ms + shift_ms: row._replace(
                    open_time_ms=row.open_time_ms + shift_ms, close_time_ms=row.close_time_ms + shift_ms
                )
                for row in rows.values()
            }
            for series, rows in recording.klines.items()
        }
        self._known = PlayedRecords(klines)
        self._closed = closed_spans(klines)
        self._entries = self._symbol_entries()
        self.symbols: Sequence[str] = tuple(entry["symbol"] for entry in self._entries)
        self.recorded_symbols = self._recorded_symbols()
        self.statuses: dict[str, str] = {}
        self.played = 0
        self.frozen = False
        if recording.frames:
            self.first_ms = recording.frames[0].received_us // 1000 + shift_ms
        else:
            self.first_ms = max(row.close_time_ms for rows in klines.values() for row in rows.values()) + 1
        self.position_ms = self.first_ms

    @property
    def finished(self) -> bool:
        return self.played == len(self._recording.frames)

    def due(self, until_ms: int, wanted: frozenset[str]) -> list[Outgoing]:
        """Wanted frames received up to `until_ms` (shifted time); all others pass by."""
        frames = self._recording.frames
        beyond_us = (until_ms - self._shift_ms + 1) * 1000
        end = bisect_left(frames, beyond_us, self.played, key=lambda frame: frame.received_us)
        events = self.next_frames(end - self.played, wanted)
        if not self.frozen and not self.finished:
            self.position_ms = max(self.position_ms, until_ms)
        return events

    def next_frames(self, count: int, wanted: frozenset[str]) -> list[Outgoing]:
        """The wanted ones among the next `count` frames."""
        if self.frozen:
            return []
        events: list[Outgoing] = []
        for received_us, stream, body in self._recording.frames[self.played : self.played + count]:
            event = orjson.loads(body)
            if self._shift_ms:
                event = with_times(event, lambda time_ms: time_ms + self._shift_ms)
            self.position_ms = received_us // 1000 + self._shift_ms
            self.played += 1
            readable = self._known.learn(stream, event, self.position_ms)
            if stream in wanted:
                recorded = None if self._shift_ms else body
                events.append(RecordedEvent(stream, event, self.position_ms, recorded, genuine=readable))
        return events

    def account(self) -> dict[str, Any]:
        """What has been issued so far: the exchange's own word on its streams."""
        known = self._known
        return {
            "newest_ms": known.newest_ms,
            "unreadable": known.unreadable,
            "newest_trades": {symbol: rows[-1].trade_id for symbol, rows in known.trades.items() if rows},
            "newest_bars": [
                (symbol, interval, max(rows)) for (symbol, interval), rows in known.klines.items() if rows
            ],
        }

    def klines(self, symbol: str, interval: str, offset_ms: int, span: Span, now_ms: int) -> list[KlineRow]:  # noqa: ARG002
        rows = self._known.klines.get((symbol, interval), {})
        # Bars of another time zone were not recorded.
        opens = [
            open_ms
            for open_ms in sorted(rows)
            if (span.start_ms is None or open_ms >= span.start_ms)
            and (span.end_ms is None or open_ms <= span.end_ms)
            and (not offset_ms or open_ms == bar_open(interval, open_ms, offset_ms))
        ]
        chosen = opens[-span.limit :] if span.start_ms is None else opens[: span.limit]
        return [rows[open_ms] for open_ms in chosen]

    def depth(self, symbol: str, limit: int, now_ms: int) -> Depth | None:
        """The newest snapshot recorded up to now, else the earliest one."""
        snapshots = self._recording.snapshots.get(symbol)
        if not snapshots:
            return None
        beyond_us = (now_ms - self._shift_ms + 1) * 1000
        index = bisect_left(snapshots, beyond_us, key=lambda snapshot: snapshot[0])
        depth = snapshots[max(0, index - 1)][1]
        return Depth(depth.last_update_id, depth.bids[:limit], depth.asks[:limit])

    def quotes(self, symbol: str, now_ms: int) -> Quotes | None:
        """The last book ticker played, else the top of the recorded book."""
        if symbol in self._known.quotes:
            return self._known.quotes[symbol]
        depth = self.depth(symbol, 1, now_ms)
        return Quotes(*depth.bids[0], *depth.asks[0]) if depth and depth.bids and depth.asks else None

    def trades(self, symbol: str, from_id: int | None, limit: int, now_ms: int) -> list[TradeRow]:  # noqa: ARG002
        rows = self._known.trades.get(symbol, [])
        if from_id is None:
            return rows[-limit:]
        begin = bisect_left(rows, from_id, self._known.numbering[symbol], key=lambda row: row.trade_id)
        return rows[begin : begin + limit]

    def aggregates(self, symbol: str, from_id: int | None, span: Span, now_ms: int) -> list[AggregateRow]:  # noqa: ARG002
        rows = self._known.aggregates.get(symbol, [])
        if from_id is not None:
            rows = rows[bisect_left(rows, from_id, key=lambda row: row.aggregate_id) :]
        if span.end_ms is not None:
            rows = rows[: bisect_right(rows, span.end_ms, key=lambda row: row.trade_time_ms)]
        if span.start_ms is not None:
            rows = rows[bisect_left(rows, span.start_ms, key=lambda row: row.trade_time_ms) :]
        return rows[-span.limit :] if from_id is None and span.start_ms is None else rows[: span.limit]

    def window(self, symbol: str, from_ms: int, now_ms: int) -> Window:
        rows = self._known.trades.get(symbol, [])
        begin = bisect_left(rows, from_ms, key=lambda row: row.trade_time_ms)
        previous = rows[begin - 1].price if begin else _ZERO
        rows = rows[begin:]
        if not rows:
            return Window(_ZERO, _ZERO, _ZERO, _ZERO, _ZERO, previous, _ZERO, _ZERO, -1, -1, 0, now_ms)
        prices = [Decimal(row.price) for row in rows]
        return Window(
            rows[0].price,
            str(max(prices)),
            str(min(prices)),
            rows[-1].price,
            rows[-1].quantity,
            previous,
            str(sum((Decimal(row.quantity) for row in rows), Decimal(0))),
            str(sum((Decimal(row.quote_quantity) for row in rows), Decimal(0))),
            rows[0].trade_id,
            rows[-1].trade_id,
            len(rows),
            rows[-1].trade_time_ms,
        )

    def symbol_entries(self, now_ms: int) -> list[Mapping[str, Any]]:  # noqa: ARG002
        """As recorded, else made up for the symbols that occur; all TRADING unless set otherwise."""
        return [
            {
                **entry,
                "status": self.statuses.get(entry["symbol"], entry["status"]),
                # No field of Binance's: of an archive's holes its exchange has no bars (docs/simulator.md).
                **({"recordedHalts": closed} if (closed := self._closed.get(entry["symbol"])) else {}),
            }
            for entry in self._entries
        ]

    def _recorded_symbols(self) -> tuple[str, ...]:
        """Symbols with data; a recorded exchangeInfo lists all of the exchange."""
        recording = self._recording
        present = {
            stream.partition("@")[0].upper() for stream in {frame.stream for frame in recording.frames}
        }
        return tuple(
            sorted(present | recording.snapshots.keys() | {symbol for symbol, _ in recording.klines})
        )

    def _symbol_entries(self) -> list[Mapping[str, Any]]:
        recording = self._recording
        recorded = list(recording.exchange_info["symbols"]) if recording.exchange_info else []
        missing = set(self._recorded_symbols()) - {entry["symbol"] for entry in recorded}
        smallest = "0.00000001"
        return recorded + [
            symbol_entry(
                symbol, *split_symbol(symbol), tick_size=smallest, step_size=smallest, status="TRADING"
            )
            for symbol in sorted(missing)
        ]
