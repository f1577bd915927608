"""Completeness events of one instrument, joined to ranges before they go to `pipeline.ledger`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from producers.effects import LedgerEvent
from producers.start_positions import FoundRange
from shared.intervals import INTERVAL_MS
from shared.ledger import LedgerSeries, ledger_record
from shared.messages import LedgerMessage, Source
from shared.models import LedgerKind, LedgerStream

_MINUTE_MS: Final = 60_000
_EXPECTED_TRADES: Final = ("trades", None, "expected")
# Kinds that may come with every message.
_JOINED: Final = frozenset(("expected", "repaired", "duplicate"))
# Kinds of ids that were issued and not published.
_ISSUED_UNSEEN: Final = frozenset(("lost", "halted", "offline"))


class LedgerEvents:
    """Joins neighbouring ids of the same kind until `flush`.

    A range of trades never crosses a minute of trade time, so that each minute has its own ids, nor joins ids
    whose time is unknown to others; `event_time_ms` is the trade time of its last id. Ranges of bars hold
    open times and `event_time_ms` is the last of them.
    """

    def __init__(self, exchange: str, symbol: str) -> None:
        self._exchange = exchange
        self._symbol = symbol
        self._open: dict[tuple[str, str | None, str], LedgerMessage] = {}
        self._complete: list[LedgerMessage] = []

    def add(
        self,
        kind: LedgerKind,
        stream: LedgerStream,
        interval: str | None,
        first: int,
        last: int,
        *,
        event_ms: int | None,
        received_ms: int,
        source: Source,
        detail: str | None = None,
    ) -> None:
        """Enter the ids `first` to `last`, both inclusive (open times for klines)."""
        step = INTERVAL_MS[interval] if interval is not None else 1
        series = (stream, interval, kind)
        if kind in _JOINED:
            before = self._open.get(series)
            if before is not None and before["last"] + step == first and before["source"] == source:
                before_ms = before["event_time_ms"]
                same_minute = stream != "trades" or _minute(before_ms) == _minute(event_ms)
                if same_minute:
                    before["last"] = last
                    before["count"] += (last - first) // step + 1
                    before["event_time_ms"] = event_ms
                    before["received_time_ms"] = received_ms
                    return
        message = ledger_record(
            LedgerSeries(self._exchange, self._symbol, stream, interval or ""),
            kind,
            first,
            last,
            event_time_ms=event_ms,
            received_time_ms=received_ms,
            source=source,
            detail=detail,
        )
        if kind not in _JOINED:
            self._complete.append(message)
            return
        if series in self._open:
            self._complete.append(self._open[series])
        self._open[series] = message

    def expect_trade(self, number: int, time_ms: int, received_ms: int) -> None:
        """Enter a trade of the stream as expected: as `add`, and faster where it joins the one before."""
        before = self._open.get(_EXPECTED_TRADES)
        if before is None or before["last"] + 1 != number or before["source"] != "stream":
            before_ms = None
        else:
            before_ms = before["event_time_ms"]
        if before is None or before_ms is None or before_ms // _MINUTE_MS != time_ms // _MINUTE_MS:
            ids = number, number
            self.add(
                "expected", "trades", None, *ids, event_ms=time_ms, received_ms=received_ms, source="stream"
            )
            return
        before["last"] = number
        before["count"] += 1
        before["event_time_ms"] = time_ms
        before["received_time_ms"] = received_ms

    def enter(
        self, event: LedgerEvent, stream: LedgerStream, interval: str | None, now_ms: int, source: Source
    ) -> None:
        """Enter what a core says; ids that were issued and not published are expected as well."""
        # 0 is no time: the trade after these is unknown. Of several dates the ledger takes the earliest.
        event_ms = event.time_ms or None
        if interval is not None and event.time_ms is None:
            event_ms = event.last
        for kind in ("expected", event.kind) if event.kind in _ISSUED_UNSEEN else (event.kind,):
            detail = event.detail if kind == event.kind else None
            self.add(
                kind,
                stream,
                interval,
                event.first,
                event.last,
                event_ms=event_ms,
                received_ms=now_ms,
                source=source,
                detail=detail,
            )

    def expect(self, stream: LedgerStream, interval: str | None, found: FoundRange, now_ms: int) -> None:
        """Enter what lies on the topic and was never entered."""
        ids = found.first, found.last
        self.add(
            "expected", stream, interval, *ids, event_ms=found.last_ms, received_ms=now_ms, source="backfill"
        )

    def stop(self, intervals: Sequence[str], now_ms: int, source: Source) -> None:
        """Enter the end of the trades, and of the bars of these intervals."""
        ids = now_ms, now_ms
        series: list[tuple[LedgerStream, str | None]] = [("trades", None)]
        for stream, interval in series + [("klines", interval) for interval in intervals]:
            self.add("stopped", stream, interval, *ids, event_ms=now_ms, received_ms=now_ms, source=source)

    def __len__(self) -> int:
        """Events that `flush` would give."""
        return len(self._complete) + len(self._open)

    def flush(self) -> list[LedgerMessage]:
        """All events since the last call."""
        events = [*self._complete, *self._open.values()]
        # "stopped" must come last: a later event says that the series goes on.
        events.sort(key=lambda event: event["kind"] == "stopped")
        self._complete, self._open = [], {}
        return events


def _minute(time_ms: int | None) -> int | None:
    return None if time_ms is None else time_ms // _MINUTE_MS
