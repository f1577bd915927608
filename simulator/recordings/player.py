"""A recording as an exchange: its frames in time, REST answers as of the position that has been reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any, Final

import orjson

from shared.errors import UsageError
from simulator.exchange import AggregateRow, Depth, KlineRow, Quotes, Span, TradeRow, Window
from simulator.outgoing import Outgoing
from simulator.protocols.binance.dialect import BINANCE
from simulator.protocols.binance.envelopes import with_times
from simulator.protocols.binance.exchange_info import symbol_entry
from simulator.protocols.binance.face import BinanceFace
from simulator.protocols.binance.stream_names import parse_stream_name
from simulator.protocols.port import Dialect, Surroundings
from simulator.recordings.played import PlayedRecords
from simulator.recordings.recording import Recording
from simulator.world.calendar import bar_end, bar_open, is_beside
from simulator.world.instruments import split_symbol

_ZERO: Final = "0.00000000"
_MINUTE_MS: Final = 60_000
# Of the frames due: the host may have slept, or time may run a thousand times as fast.
MOST_AT_ONCE: Final = 2_000


class Player:
    """Plays one recording once. REST knows what was played, and all archived klines.

    Attributes:
        first_ms: time of the first frame (without frames: the end of the last kline), shifted.
        played: number of frames played so far, wanted or not.
        frozen: True stops the recording where it is.
    """

    dialect: Dialect = BINANCE

    def __init__(self, recording: Recording, shift_ms: int = 0) -> None:
        self._recording = recording
        self._shift_ms = shift_ms
        self._known = PlayedRecords()
        for symbol, interval in recording.series:
            self._known.archive(symbol, interval, self._shifted(recording.bars((symbol, interval))))
        self._closed = _closed_spans(
            (series, (row.open_time_ms for row in self._shifted(recording.bars(series))))
            for series in recording.series
        )
        self._entries = self._symbol_entries()
        self.symbols: Sequence[str] = tuple(entry["symbol"] for entry in self._entries)
        self.recorded_symbols = self._recorded_symbols()
        self.statuses: dict[str, str] = {}
        self.played = 0
        self.frozen = False
        self._frames = iter(recording.frames)
        self._next = next(self._frames, None)
        origin_ms = recording.last_bar_ms + 1 if self._next is None else self._next.received_us // 1000
        self.first_ms = self.position_ms = origin_ms + shift_ms

    def face(self, surroundings: Surroundings) -> BinanceFace:
        """The recording as clients see it."""
        return BinanceFace(self, market_data_only=surroundings.market_data_only, summed=False)

    @property
    def finished(self) -> bool:
        return self._next is None

    def due(self, until_ms: int, wanted: frozenset[str]) -> list[Outgoing]:
        """The next wanted frames received up to `until_ms` (shifted time); others are skipped."""
        beyond_us = (until_ms - self._shift_ms + 1) * 1000
        events = self._take(MOST_AT_ONCE, beyond_us, wanted)
        if not self.frozen and self._next is not None and self._next.received_us >= beyond_us:
            self.position_ms = max(self.position_ms, until_ms)
        return events

    def next_frames(self, count: int, wanted: frozenset[str]) -> list[Outgoing]:
        """The wanted ones among the next `count` frames."""
        return self._take(count, None, wanted)

    def _take(self, count: int, beyond_us: int | None, wanted: frozenset[str]) -> list[Outgoing]:
        events: list[Outgoing] = []
        while not self.frozen and self._next is not None and count > 0:
            received_us, stream, body = self._next
            if beyond_us is not None and received_us >= beyond_us:
                break
            event = orjson.loads(body)
            if self._shift_ms:
                event = with_times(event, lambda time_ms: time_ms + self._shift_ms)
            self.position_ms = received_us // 1000 + self._shift_ms
            self.played += 1
            count -= 1
            self._next = next(self._frames, None)
            readable = self._known.learn(stream, event, self.position_ms)
            if stream in wanted:
                recorded = None if self._shift_ms else body
                events.append(
                    Outgoing(
                        stream,
                        event,
                        self.position_ms,
                        time_ms=self.position_ms,
                        genuine=readable,
                        recorded=recorded,
                    )
                )
        return events

    def account(self) -> dict[str, Any]:
        """What the exchange has issued so far, by stream."""
        known = self._known
        return {
            "newest_ms": known.newest_ms,
            "unreadable": known.unreadable,
            "newest_trades": known.newest_trades,
            "newest_bars": [
                (symbol, interval, open_ms) for (symbol, interval), open_ms in known.newest_bars.items()
            ],
        }

    def klines(self, symbol: str, interval: str, offset_ms: int, span: Span, now_ms: int) -> list[KlineRow]:  # noqa: ARG002
        # Bars of another time zone were not recorded.
        found = (
            row
            for row in self._known.klines(symbol, interval, span)
            if not offset_ms or row.open_time_ms == bar_open(interval, row.open_time_ms, offset_ms)
        )
        chosen = list(islice(found, span.limit))
        return chosen[::-1] if span.start_ms is None else chosen

    def depth(self, symbol: str, limit: int, now_ms: int) -> Depth | None:
        """The newest snapshot recorded up to now, else the earliest one."""
        depth = self._recording.depth(symbol, (now_ms - self._shift_ms + 1) * 1000 - 1)
        return depth and Depth(depth.last_update_id, depth.bids[:limit], depth.asks[:limit])

    def quotes(self, symbol: str, now_ms: int) -> Quotes | None:
        """The last book ticker played, else the top of the recorded book."""
        if symbol in self._known.quotes:
            return self._known.quotes[symbol]
        depth = self.depth(symbol, 1, now_ms)
        return Quotes(*depth.bids[0], *depth.asks[0]) if depth and depth.bids and depth.asks else None

    def trades(self, symbol: str, from_id: int | None, limit: int, now_ms: int) -> list[TradeRow]:  # noqa: ARG002
        known = self._known
        return known.newest(symbol, limit) if from_id is None else known.from_id(symbol, from_id, limit)

    def aggregates(self, symbol: str, from_id: int | None, span: Span, now_ms: int) -> list[AggregateRow]:  # noqa: ARG002
        return self._known.aggregates(symbol, from_id, span)

    def window(self, symbol: str, from_ms: int, now_ms: int) -> Window:
        sums, before = self._known.window(symbol, from_ms)
        previous = before or _ZERO
        if sums is None:
            return Window(_ZERO, _ZERO, _ZERO, _ZERO, _ZERO, previous, _ZERO, _ZERO, -1, -1, 0, now_ms)
        return Window(
            sums.first.price,
            str(sums.high),
            str(sums.low),
            sums.last.price,
            sums.last.quantity,
            previous,
            str(sums.base_volume),
            str(sums.quote_volume),
            sums.first.trade_id,
            sums.last.trade_id,
            sums.count,
            sums.last.trade_time_ms,
        )

    def symbol_entries(self, now_ms: int) -> list[Mapping[str, Any]]:  # noqa: ARG002
        """As recorded, else generated for the symbols that occur; all TRADING unless set otherwise."""
        return [
            {
                **entry,
                "status": self.statuses.get(entry["symbol"], entry["status"]),
                # Not a field of Binance: spans without archived bars (docs/simulator.md).
                **({"recordedHalts": closed} if (closed := self._closed.get(entry["symbol"])) else {}),
            }
            for entry in self._entries
        ]

    def _recorded_symbols(self) -> tuple[str, ...]:
        """Symbols with data; a recorded exchangeInfo lists all of the exchange."""
        recording = self._recording
        present = {stream.partition("@")[0].upper() for stream in recording.streams}
        return tuple(
            sorted(present | recording.snapshot_symbols | {symbol for symbol, _ in recording.series})
        )

    def _shifted(self, rows: Iterator[KlineRow]) -> Iterator[KlineRow]:
        for row in rows:
            yield row._replace(
                open_time_ms=row.open_time_ms + self._shift_ms,
                close_time_ms=row.close_time_ms + self._shift_ms,
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


def _closed_spans(
    series: Iterable[tuple[tuple[str, str], Iterable[int]]],
) -> dict[str, list[tuple[int, int]]]:
    """By symbol, first and last millisecond of each gap between its archived bars: the exchange was closed.

    Args:
        series: by (symbol, interval), open times in their order.
    """
    spans: dict[str, list[tuple[int, int]]] = {}
    for (symbol, interval), opens in series:
        for before, after in pairwise(at for at in opens if not is_beside(interval, at)):
            first = bar_end(interval, before)
            if first < after:
                spans.setdefault(symbol, []).append((first, after - 1))
    return {symbol: sorted(of_symbol) for symbol, of_symbol in spans.items()}


def shift_to(recording: Recording, now_ms: int) -> int:
    """The shift in ms with which the recording starts now, or up to a bar earlier.

    Bars stay multiples of their interval. A recording of klines alone is history: it ends now instead.
    """
    intervals = {interval for _, interval in recording.series}
    for name in recording.streams:
        stream = parse_stream_name(name)
        if stream and stream.kind == "kline":
            intervals.add(stream.interval)
    if "1M" in intervals:
        raise UsageError(
            "--shift-now: months differ in length, so klines of 1M cannot be moved; leave them out"
        )
    step = max((bar_end(interval, 0) for interval in intervals), default=_MINUTE_MS)
    frames = recording.frames
    origin_ms = frames.first_us // 1000 if len(frames) else recording.last_bar_ms + 1
    return (now_ms - origin_ms) // step * step
