"""Checks a run: the store against what was issued and against the undisturbed run. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from chaos.differences import Differences, compare_bars, compare_trades
from chaos.exchange_log import BAR_FIELDS, BarSeries, ExchangeLog, Numbers
from chaos.ledger_oracle import NO_TRADES, Claims
from chaos.market import Window
from chaos.store_export import Export
from chaos.topic_invariants import TopicReport
from consumers.indicators.bars import Bar
from consumers.indicators.indicator_set import IndicatorSet
from shared.id_ranges import IdRanges
from shared.intervals import INTERVAL_MS

_NS_A_MS = 1_000_000


def against_exchange_log(
    export: Export, exchange_log: ExchangeLog, altered: Mapping[BarSeries, IdRanges] | None = None
) -> Differences:
    """The trades and bars of the export against the exchange's log.

    Args:
        altered: ids (open time divided by the interval) of bars that the ledger reports as revised.
    """
    differences, window = Differences(), export.window
    for symbol, found in export.trades.items():
        issued = (t for t in exchange_log.trades[symbol].values() if window.has(t.time_ns // _NS_A_MS))
        differences.update(compare_trades(issued, found, symbol))
    for series, bars in export.bars.items():
        unit = INTERVAL_MS[series[1]]
        left_out = (altered or {}).get(series, IdRanges())
        expected, found_bars = (
            {at: bar for at, bar in rows.items() if window.has_bar(at, unit) and at // unit not in left_out}
            for rows in (exchange_log.bars[series], bars)
        )
        differences.update(compare_bars("kline", expected, found_bars, BAR_FIELDS, " ".join(series)))
    return differences


def against_export(export: Export, other: Export, apart: Collection[BarSeries] = ()) -> Differences:
    """Two exports over their common window.

    Args:
        apart: series whose indicators differ for a reason, see `indicators_apart`.
    """
    differences = Differences()
    window = export.window.cut(other.window)
    for symbol, found in export.trades.items():
        both = [
            [trade for trade in trades if window.has(trade.time_ns // _NS_A_MS)]
            for trades in (other.trades[symbol], found)
        ]
        differences.update(compare_trades(both[0], both[1], symbol))
    for what, names, mine, others in (
        ("kline", BAR_FIELDS, export.bars, other.bars),
        ("indicator", export.columns, export.indicators, other.indicators),
    ):
        for series, bars in mine.items():
            if what == "indicator" and series in apart:
                continue
            unit = INTERVAL_MS[series[1]]
            wanted, has = (
                {at: numbers for at, numbers in rows.items() if window.has_bar(at, unit)}
                for rows in (others[series], bars)
            )
            differences.update(compare_bars(what, wanted, has, names, " ".join(series)))
    return differences


def indicators_apart(topics: TopicReport, other: TopicReport) -> set[BarSeries]:
    """Series of built bars whose indicators cannot be those of another run; they are held to their own bars.

    A warm-up that a kill cut off begins again, and later: sums begin with the first bar. Of a bar that came
    again the indicators are not computed again.
    """
    firsts = {
        series for series in topics.firsts_ms if topics.firsts_ms[series] != other.firsts_ms.get(series)
    }
    return firsts | topics.superseded.keys() | other.superseded.keys()


def recomputed(indicators: IndicatorSet, bars: Mapping[int, Numbers], first_ms: int) -> dict[int, Numbers]:
    """Indicators of a series of bars, computed bar by bar from `first_ms` on."""
    state = indicators.initial()
    values: dict[int, Numbers] = {}
    for open_ms in sorted(at for at in bars if at >= first_ms):
        bar = dict(zip(BAR_FIELDS, bars[open_ms], strict=True))
        numbers = (bar[name] or 0.0 for name in ("open", "high", "low", "close", "base_volume"))
        state, computed = indicators.step(state, Bar(open_ms, *numbers))
        # NaN and infinity are not stored (DESIGN §4.3).
        values[open_ms] = tuple(value if math.isfinite(value) else None for value in computed)
    return values


def against_bars(
    export: Export,
    bars: Mapping[BarSeries, Mapping[int, Numbers]],
    firsts_ms: Mapping[BarSeries, int],
    indicators: IndicatorSet,
) -> Differences:
    """The stored indicators against those recomputed from bars.

    Args:
        firsts_ms: open time of the first bar of each series on its topic: sums begin there.
    """
    differences, window = Differences(), export.window
    for series, found in export.indicators.items():
        unit = INTERVAL_MS[series[1]]
        values = recomputed(indicators, bars[series], firsts_ms.get(series, window.begin_ms))
        expected = {at: numbers for at, numbers in values.items() if window.has_bar(at, unit)}
        label = " ".join(series)
        differences.update(compare_bars("indicator", expected, found, export.columns, label))
    return differences


def against_topics(
    topics: TopicReport, exchange_log: ExchangeLog, claims: Claims, window: Window
) -> Differences:
    """The topics against the exchange's log, and their holes against the ledger's excuses."""
    differences = Differences()
    for symbol, trades in exchange_log.trades.items():
        on_topic = topics.trades.get(symbol, IdRanges())
        for trade in trades.values():
            if window.has(trade.time_ns // _NS_A_MS) and trade.trade_id not in on_topic:
                differences.add("market.trades", "missing", f"{symbol} {trade.trade_id}")
    for series in claims.series():
        if series.stream == "trades":
            late = topics.late_trades.get(series.symbol, IdRanges())
            for first, last in late.difference(claims.ids(series, "gap")):
                example = f"{series.symbol} {first} is late and was not in a hole"
                differences.add("market.trades", "broken", example, last - first + 1)
            continue
        left = topics.bar_holes.get((series.symbol, series.interval), IdRanges())
        for excuse in ("halted", "offline", "lost", NO_TRADES):
            left = left.difference(claims.ids(series, excuse))
        for first, last in left:
            example = f"{series.symbol} {first * series.unit}"
            differences.add(f"market.klines.{series.interval}", "missing", example, last - first + 1)
        revised = claims.ids(series, "revised")
        for open_ms in topics.superseded.get((series.symbol, series.interval), ()):
            if open_ms // series.unit not in revised:
                example = f"{series.symbol} {open_ms} came again with other content, without an entry"
                differences.add(f"market.klines.{series.interval}", "broken", example)
    return differences


def against_claims(export: Export, claims: Claims, *, expected: bool = True) -> Differences:
    """The ledger against the store: nothing missing, no id claimed that is not stored, none left out.

    Args:
        expected: check also that every stored id was expected.
    """
    differences = Differences()
    for series in claims.series():
        label = " ".join(filter(None, (series.symbol, series.stream, series.interval)))
        for first, last in claims.missing(series):
            differences.add("ledger", "missing", f"{label} {first * series.unit}", last - first + 1)
        has = IdRanges()
        if series.stream == "trades":
            for trade in export.trades.get(series.symbol, ()):
                has.add(trade.trade_id, trade.trade_id)
        else:
            for open_ms in export.bars.get((series.symbol, series.interval), ()):
                has.add(open_ms // series.unit, open_ms // series.unit)
        if not has:
            continue
        first, last = next(iter(has))[0], max(last for _, last in has)
        claimed = IdRanges(claims.ids(series, "stored").within(first, last))
        awaited = IdRanges(claims.ids(series, "expected").within(first, last))
        for begin, end in claimed.difference(has):
            differences.add("ledger", "unknown", f"{label} {begin * series.unit} claimed", end - begin + 1)
        for begin, end in has.difference(awaited) if expected else ():
            differences.add(
                "ledger", "broken", f"{label} {begin * series.unit} not expected", end - begin + 1
            )
    return differences
