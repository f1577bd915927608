"""The content of the store, read through the port that `query` uses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from chaos.exchange_log import BAR_FIELDS, BarSeries, Numbers, TradePoint
from chaos.market import Window
from consumers.stores.port import Reader, Row
from shared.intervals import INTERVAL_MS

_NS_A_MS = 1_000_000


@dataclass(slots=True)
class Export:
    """The stored points of a window.

    Attributes:
        window: trades by their time, bars that close within.
        columns: names of the indicators' values.
    """

    window: Window
    columns: tuple[str, ...]
    trades: dict[str, list[TradePoint]] = field(default_factory=dict)
    bars: dict[BarSeries, dict[int, Numbers]] = field(default_factory=dict)
    indicators: dict[BarSeries, dict[int, Numbers]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        series: Iterable[Sequence[object] | dict[int, Numbers]] = (
            *self.trades.values(),
            *self.bars.values(),
            *self.indicators.values(),
        )
        return sum(map(len, series))


def read_export(
    reader: Reader,
    symbols: Sequence[str],
    intervals: Sequence[str],
    window: Window,
    columns: tuple[str, ...],
    *,
    indicators: bool = True,
) -> Export:
    """Everything stored of the window.

    Args:
        indicators: read indicators too: a hundred times as many values.

    Raises:
        StoreUnavailable, StoreMisconfigured: from the reader.
    """
    export = Export(window, columns)
    end_ns = window.end_ms * _NS_A_MS
    kinds: list[tuple[str, tuple[str, ...], dict[BarSeries, dict[int, Numbers]]]]
    for symbol in symbols:
        export.trades[symbol] = [
            TradePoint(
                int(row["trade_id"] or 0),
                int(row["time_ns"] or 0),
                float(row["price"] or 0),
                float(row["quantity"] or 0),
                bool(row["buyer_is_maker"]),
            )
            for row in reader.read(
                "trade", {"symbol": symbol}, from_ns=window.begin_ms * _NS_A_MS, to_ns=end_ns
            )
        ]
        for interval in intervals:
            tags = {"symbol": symbol, "interval": interval}
            # The first bar that closes within may have begun before.
            from_ns = (window.begin_ms - INTERVAL_MS[interval]) * _NS_A_MS
            kinds = [("kline", BAR_FIELDS, export.bars)]
            if indicators:
                kinds.append(("indicator", columns, export.indicators))
            for measurement, names, found in kinds:
                found[symbol, interval] = {
                    open_ms: _numbers(row, names)
                    for row in reader.read(measurement, tags, from_ns=from_ns, to_ns=end_ns)
                    if window.has_bar(open_ms := int(row["time_ns"] or 0) // _NS_A_MS, INTERVAL_MS[interval])
                }
    return export


def _numbers(row: Row, names: Sequence[str]) -> Numbers:
    # Not `or 0`, which would change a negative zero.
    return tuple(None if (number := row.get(name)) is None else float(number) for name in names)
