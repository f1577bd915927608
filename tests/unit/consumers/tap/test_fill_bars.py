"""The first rows of a series of bars, by all ways that indicators can be had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from consumers.enrich.klines import KlineEnricher
from consumers.enrich.port import Known
from consumers.indicators.registry import indicator_set
from consumers.stores.port import Row
from consumers.tap import fill_bars
from consumers.tap.fill import RING_BARS, FilledSeries, Filling
from consumers.tap.fill_bars import BarSources
from consumers.tap.records import BadRecords, as_stored
from shared.errors import StoreUnavailable
from shared.messages import KlineMessage
from shared.topics import indicator_state_topic, klines_live_topic, klines_topic
from tests.builders import kline
from tests.unit.consumers.tap.partitions import FakePartitions

TAGS = ("binance", "BTCUSDC", "1m")
KEY = b"binance:BTCUSDC"
CLOSED, LIVE, STATE = klines_topic("1m"), klines_live_topic("1m"), indicator_state_topic("1m")
INDICATORS = indicator_set(("momentum_rsi", "trend_ema_fast"))
START_MS = 1_785_700_000_000 // 60_000 * 60_000


def bar(number: int, **fields: Any) -> KlineMessage:
    close = f"{100 + number * 7919 % 37 / 10:.8f}"
    return kline(open_time_ms=START_MS + number * 60_000, close=close, high="110", low="90", **fields)


class FakeStore:
    """Attributes:
    answers: rows by measurement; none at all if it is None.
    """

    def __init__(self, answers: dict[str, list[Row]] | None = None) -> None:
        self.answers = answers

    def rows(
        self, measurement: str, tags: Mapping[str, str], span: tuple[int | None, int | None], within_s: float
    ) -> list[Row] | None:
        assert within_s > 0 and tags["interval"] == "1m"
        if self.answers is None:
            return None
        first, end = span[0] or 0, span[1] or 2**63
        return [row for row in self.answers.get(measurement, []) if first <= int(row["time_ns"] or 0) < end]


def consumed(
    bars: list[KlineMessage], until: int
) -> tuple[bytes, dict[int, tuple[Any, ...]], dict[int, tuple[Any, ...]]]:
    """What the consumer makes of bars at offsets 0, 1, …: its state after `until`, klines, indicators."""
    enricher = KlineEnricher("1m", INDICATORS, live_interval_ms=1_000)
    enricher.assign(0, Known(0, 0))
    state = b""
    rows: dict[str, dict[int, tuple[Any, ...]]] = {"kline": {}, "indicator": {}}
    for offset, message in enumerate(bars):
        for point in enricher.receive([(0, offset, message)], 0).points:
            rows[point.series.measurement.name][point.time_ns] = as_stored(point.values)
        if offset == until:
            (record,) = enricher.state_due(0, everything=True)
            state = record.value
    return state, rows["kline"], rows["indicator"]


def stored_rows(indicators: dict[int, tuple[Any, ...]]) -> list[Row]:
    return [
        {"time_ns": time_ns, **dict(zip(INDICATORS.columns, values, strict=True))}
        for time_ns, values in indicators.items()
    ]


def filled(
    partitions: FakePartitions, store: FakeStore, *, keeps_state: bool = True, seeded: bool = False
) -> tuple[Filling, dict[str, FilledSeries]]:
    sources = BarSources(INDICATORS, keeps_state, store, seeded, BadRecords())
    filling = fill_bars.fill_bars(partitions, TAGS, sources)
    return filling, {one.series.name: one for one in filling.series}


def values(series: FilledSeries) -> dict[int, tuple[Any, ...]]:
    return {row.time_ns: row.values for row in series.rows}


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every topic is too long to be replayed."""
    monkeypatch.setattr(fill_bars, "SHORT", 0)


def test_a_short_topic_is_replayed_as_the_consumer_read_it() -> None:
    bars = [bar(number) for number in range(120)]
    state, klines, indicators = consumed(bars, 90)
    partitions = FakePartitions()
    partitions.add(CLOSED, KEY, bars)
    partitions.add(STATE, KEY, [state])
    filling, series = filled(partitions, FakeStore())
    assert values(series["kline"]) == klines and values(series["indicator"]) == indicators
    assert (series["kline"].low, series["kline"].end, series["indicator"].holes) == (0, 120, ())
    assert filling.ends == {(CLOSED, 0): 120, (LIVE, 0): 0}


def test_a_short_topic_that_does_not_lead_to_the_state_is_not_replayed() -> None:
    bars = [bar(number) for number in range(80)]
    repaired = [bar(number) for number in range(80)]
    repaired[5]["close"] = "123.5"
    state, _, indicators = consumed(repaired, 60)
    partitions = FakePartitions()
    partitions.add(CLOSED, KEY, bars)
    partitions.add(STATE, KEY, [state])
    _, series = filled(partitions, FakeStore({"indicator": stored_rows(indicators)}))
    assert values(series["indicator"]) == indicators


@pytest.mark.usefixtures("long")
def test_a_long_topic_is_continued_from_the_state_with_earlier_indicators_of_the_store() -> None:
    bars = [bar(number) for number in range(200)]
    state, klines, indicators = consumed(bars, 150)
    partitions = FakePartitions()
    partitions.add(CLOSED, KEY, bars)
    partitions.add(STATE, KEY, [state])
    times = sorted(indicators)
    store = FakeStore({"indicator": stored_rows({at: indicators[at] for at in times[:151]})})
    _, series = filled(partitions, store)
    assert values(series["kline"]) == klines and values(series["indicator"]) == indicators
    assert series["indicator"].holes == () and series["indicator"].low == 0
    assert [row.offset for row in series["indicator"].rows] == list(range(200))


def in_the_order_of_records(series: FilledSeries) -> bool:
    offsets = [row.offset for row in series.rows]
    return offsets == sorted(offsets)


@pytest.mark.usefixtures("long")
def test_stored_indicators_of_bars_that_came_again_are_in_the_order_of_their_records() -> None:
    # Bars 3 and 4 come a second time behind bar 29; the state is of bar 39.
    bars = [*map(bar, range(30)), bar(3), bar(4), *map(bar, range(30, 50))]
    state, _, indicators = consumed(bars, 41)
    partitions = FakePartitions()
    partitions.add(CLOSED, KEY, bars)
    partitions.add(STATE, KEY, [state])
    _, series = filled(partitions, FakeStore({"indicator": stored_rows(indicators)}))
    assert values(series["indicator"]) == indicators
    assert in_the_order_of_records(series["kline"]) and in_the_order_of_records(series["indicator"])
    came_again = {row.time_ns // 60_000_000_000 for row in series["indicator"].rows if row.offset in (30, 31)}
    assert came_again == {START_MS // 60_000 + 3, START_MS // 60_000 + 4}


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize(("store", "cause"), [(None, "does not answer"), ({}, "does not have them")])
def test_indicators_that_nobody_has_are_a_hole_with_its_cause(store: Any, cause: str) -> None:
    bars = [bar(number) for number in range(50)]
    state, _, indicators = consumed(bars, 39)
    partitions = FakePartitions()
    partitions.add(CLOSED, KEY, bars)
    partitions.add(STATE, KEY, [state])
    _, series = filled(partitions, FakeStore(store))
    (hole,) = series["indicator"].holes
    assert (hole.from_ms, hole.to_ms) == (START_MS, START_MS + 40 * 60_000) and cause in hole.cause
    assert series["indicator"].low == 40 and values(series["indicator"]).items() <= indicators.items()
    assert len(series["indicator"].rows) == 10


@pytest.mark.usefixtures("long")
def test_of_several_states_that_of_the_latest_bar_counts() -> None:
    bars = [bar(number) for number in range(60)]
    newer, _, indicators = consumed(bars, 50)
    older, _, _ = consumed(bars, 20)
    partitions = FakePartitions()
    partitions.add(CLOSED, KEY, bars)
    partitions.add(STATE, KEY, [newer, older])
    partitions.add(STATE, b"binance:OTHER", [consumed(bars, 59)[0]])
    _, series = filled(partitions, FakeStore())
    assert len(series["indicator"].rows) == 9 and values(series["indicator"]).items() <= indicators.items()


@pytest.mark.usefixtures("long")
def test_an_old_state_is_continued_over_more_bars_than_are_shown() -> None:
    bars = [bar(number) for number in range(RING_BARS + 600)]
    state, _, indicators = consumed(bars, 100)
    partitions = FakePartitions()
    partitions.add(CLOSED, KEY, bars)
    partitions.add(STATE, KEY, [state])
    _, series = filled(partitions, FakeStore())
    newest = dict(sorted(indicators.items())[-RING_BARS:])
    assert values(series["indicator"]) == newest and series["indicator"].holes == ()


@pytest.mark.usefixtures("long")
def test_without_a_state_all_is_read_as_the_consumer_does() -> None:
    bars = [bar(number) for number in range(40)]
    _, _, indicators = consumed(bars, 39)
    partitions = FakePartitions()
    partitions.add(CLOSED, KEY, bars)
    _, series = filled(partitions, FakeStore())
    assert values(series["indicator"]) == indicators and series["indicator"].holes == ()


def test_the_open_bar_forks_from_the_newest_closed_one() -> None:
    bars = [bar(number) for number in range(60)]
    partitions = FakePartitions()
    partitions.add(CLOSED, KEY, bars)
    partitions.add(LIVE, KEY, [bar(60, closed=False) | {"close": "105"}, bar(60, closed=False)])
    filling, series = filled(partitions, FakeStore())
    (live,) = series["kline_live"].rows
    assert live.time_ns == (START_MS + 60 * 60_000) * 10**6 and live.offset == 1
    assert len(series["indicator_live"].rows) == 1
    assert filling.ends[LIVE, 0] == 2


def test_the_tap_goes_on_where_the_fill_ended() -> None:
    bars = [bar(number) for number in range(100)]
    _, klines, indicators = consumed(bars, 0)
    partitions = FakePartitions()
    partitions.add(CLOSED, KEY, bars[:70])
    filling, series = filled(partitions, FakeStore())
    partitions.add(CLOSED, KEY, bars[70:])
    given = {one.series.name: one for one in filling.tap.receive(partitions.raw(CLOSED)[70:])}
    for name, expected in (("kline", klines), ("indicator", indicators)):
        assert values(series[name]) | {row.time_ns: row.values for row in given[name].rows} == expected
        assert given[name].end == 100


def test_on_the_memory_broker_indicators_begin_with_the_stores_bars() -> None:
    bars = [bar(number) for number in range(90)]
    _, klines, indicators = consumed(bars, 0)
    rows: list[Row] = [
        {"time_ns": at, **dict(zip(("open", "high", "low", "close", "base_volume"), told[:5], strict=True))}
        for at, told in klines.items()
    ]
    partitions = FakePartitions()
    partitions.add(CLOSED, KEY, bars[50:])
    _, series = filled(partitions, FakeStore({"kline": rows}), keeps_state=False, seeded=True)
    assert values(series["indicator"]) == {at: indicators[at] for at in sorted(indicators)[50:]}
    with pytest.raises(StoreUnavailable):
        filled(partitions, FakeStore(), keeps_state=False, seeded=True)


def test_bad_records_are_passed_and_other_keys_not_decoded() -> None:
    partitions = FakePartitions()
    partitions.add(CLOSED, b"binance:OTHER", [b"not JSON"] * 3)
    partitions.add(CLOSED, KEY, [b"not JSON", bar(0), b"{}", bar(1)])
    sources = BarSources(INDICATORS, True, FakeStore(), False, BadRecords())
    filling = fill_bars.fill_bars(partitions, TAGS, sources)
    assert sources.bad.count == 2
    assert [row.offset for row in filling.series[0].rows] == [4, 6]
