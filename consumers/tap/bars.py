"""Bars of one series: `kline`, `indicator`, `kline_live` and `indicator_live` rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from consumers.enrich.klines import Indicators, KlineEnricher
from consumers.enrich.port import Known
from consumers.indicators.bars import Bar
from consumers.measurements import INDICATOR, INDICATOR_LIVE, KLINE, KLINE_LIVE
from consumers.tap.port import LiveRow
from consumers.tap.records import BadRecords, Decoder, RawRecord, SeriesRows, as_stored
from consumers.tap.series import OPEN_BAR, LiveSeries
from shared.messages import KlineMessage

BAR_KINDS: Final = (KLINE.name, INDICATOR.name, KLINE_LIVE.name, INDICATOR_LIVE.name, OPEN_BAR.name)

OnUpdates = Callable[[Sequence[KlineMessage]], None]


class NoIndicators:
    """For readers of `kline` rows alone."""

    columns: tuple[str, ...] = ()

    def initial(self) -> Any:
        return None

    def step(self, state: Any, bar: Bar) -> tuple[Any, tuple[float, ...]]:  # noqa: ARG002
        return state, ()

    def values(self, state: Any, bar: Bar) -> tuple[float, ...]:  # noqa: ARG002
        return ()

    def dump(self, state: Any) -> bytes:  # noqa: ARG002
        return b""

    def load(self, data: bytes) -> Any:  # noqa: ARG002
        return None


class BarTap:
    """The rows that the consumer stores, by its own enricher; every open update gives rows, since viewers
    want the newest one.

    Args:
        on_updates: told of each batch's messages, closed and open, for the open bar with its trades.
    """

    def __init__(
        self,
        tags: tuple[str, str, str],
        indicators: Indicators,
        bad: BadRecords,
        on_updates: OnUpdates | None = None,
    ) -> None:
        self._tags = tags
        self._enricher = KlineEnricher(tags[2], indicators, live_interval_ms=0)
        self._decoder = Decoder(self._enricher.decode, bad)
        self._on_updates = on_updates
        self._series = {name: LiveSeries(name, tags) for name in BAR_KINDS}

    def restore(self, partition: int, known: Known) -> int:
        """Begin with a state of the state topic; the offset that records must be given from."""
        return self._enricher.assign(partition, known).offset

    def seed(self, partition: int, bars: Iterable[Bar]) -> None:
        """Begin with the store's bars."""
        exchange, symbol, _ = self._tags
        self._enricher.seed(exchange, symbol, partition, bars)

    def state(self) -> bytes | None:
        """The state as on the state topic; None before the first bar."""
        due = self._enricher.state_due(0, everything=True)
        return due[0].value if due else None

    def receive(self, records: Sequence[RawRecord]) -> list[SeriesRows]:
        rows: dict[str, list[LiveRow]] = {}
        ends: dict[str, int] = {}
        newest: tuple[RawRecord, KlineMessage] | None = None
        decoded = self._decoder.decode(records)
        for record, message in decoded:
            if message["closed"]:
                self._enrich(record, message, rows)
                ends[KLINE.name] = ends[INDICATOR.name] = record.offset + 1
            else:
                newest = record, message
        # After the closed bars, so that the open bar forks from the newest state.
        if newest is not None:
            self._enrich(*newest, rows)
            ends[KLINE_LIVE.name] = ends[INDICATOR_LIVE.name] = newest[0].offset + 1
        if self._on_updates is not None and decoded:
            self._on_updates([message for _, message in decoded])
        return [SeriesRows(self._series[name], tuple(made), ends[name]) for name, made in rows.items()]

    def _enrich(self, record: RawRecord, message: KlineMessage, rows: dict[str, list[LiveRow]]) -> None:
        event_ms = event_ms_of(message)
        for point in self._enricher.receive([(record.partition, record.offset, message)], 0).points:
            rows.setdefault(point.series.measurement.name, []).append(
                LiveRow(point.time_ns, as_stored(point.values), record.offset, event_ms)
            )


def event_ms_of(message: KlineMessage) -> int:
    """The exchange's time of a bar; its close time for bars that were not streamed."""
    event_ms = message["event_time_ms"]
    return message["close_time_ms"] if event_ms is None else event_ms
