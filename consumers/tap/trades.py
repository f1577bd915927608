"""Trades of one instrument: `trade` and `trade_summary` rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consumers.enrich.trade_windows import MINUTE_MS
from consumers.enrich.trades import TradeEnricher
from consumers.measurements import TRADE, TRADE_SUMMARY
from consumers.tap.port import LiveRow
from consumers.tap.records import BadRecords, Decoder, RawRecord, SeriesRows, as_stored
from consumers.tap.series import LiveSeries
from shared.messages import TradeMessage

OnTrades = Callable[[Sequence[TradeMessage]], None]


class TradeTap:
    """The rows that the consumer stores, by its own enricher.

    Attributes:
        summaries_from: offset from which on all trades are in summaries: of the first trade of a minute whose
            summary is complete, and after the last repaired one of an earlier minute, whose summary the
            consumer may have changed; None before there is one.

    Args:
        whole: the first record given is the instrument's first ever; otherwise the minute that it lies in is
            incomplete, and summaries begin with the next one.
        on_trades: told of each batch's messages.
    """

    def __init__(
        self, tags: tuple[str, str], *, whole: bool, bad: BadRecords, on_trades: OnTrades | None = None
    ) -> None:
        self._tags = tags
        self._enricher = TradeEnricher()
        self._decoder = Decoder(self._enricher.decode, bad)
        self._on_trades = on_trades
        self._first_minute = 0 if whole else None
        self.summaries_from: int | None = None

    def receive(self, records: Sequence[RawRecord]) -> list[SeriesRows]:
        decoded = self._decoder.decode(records)
        if not decoded:
            return []
        self._begin(decoded[0])
        enriched = self._enricher.receive([(at.partition, at.offset, told) for at, told in decoded], 0)
        # A point for each record, then the summaries that the batch changed.
        trades = [
            LiveRow(point.time_ns, point.values, record.offset, event_ms_of(message))
            for point, (record, message) in zip(enriched.points, decoded, strict=False)
        ]
        newest, offset = max(row.event_ms for row in trades), decoded[-1][0].offset
        given = [SeriesRows(LiveSeries(TRADE.name, self._tags), tuple(trades), offset + 1)]
        for interval in ("1s", "1m"):
            rows = tuple(
                LiveRow(point.time_ns, as_stored(point.values), offset, newest)
                for point in enriched.points[len(decoded) :]
                if point.series.tags[2] == interval
            )
            if rows:
                given.append(
                    SeriesRows(LiveSeries(TRADE_SUMMARY.name, (*self._tags, interval)), rows, offset + 1)
                )
        self._note_whole(decoded)
        if self._on_trades is not None:
            self._on_trades([message for _, message in decoded])
        return given

    def _begin(self, first: tuple[RawRecord, TradeMessage]) -> None:
        if self._first_minute == 0 and self.summaries_from is None:
            self.summaries_from = first[0].offset
        if self._first_minute is not None:
            return
        record, message = first
        # By the arrival, since repaired trades are old.
        arrival_ms = max(message["trade_time_ms"], message["received_time_ms"])
        self._first_minute = arrival_ms // MINUTE_MS + 1
        self._enricher.seed(*self._tags, record.partition, self._first_minute, ())

    def _note_whole(self, decoded: Sequence[tuple[RawRecord, TradeMessage]]) -> None:
        if not self._first_minute:
            return
        begin_ms = self._first_minute * MINUTE_MS
        for at, message in decoded:
            if message["trade_time_ms"] < begin_ms:
                if self.summaries_from is not None:
                    self.summaries_from = at.offset + 1
            elif self.summaries_from is None:
                self.summaries_from = at.offset


def event_ms_of(message: TradeMessage) -> int:
    """The exchange's time of a trade."""
    event_ms = message["event_time_ms"]
    return message["trade_time_ms"] if event_ms is None else event_ms
