"""Closed bars step the indicators once each; the open bar only looks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.enrich.kline_series import MAX_HOLES, RECENT_BARS, load_snapshot
from consumers.enrich.klines import SNAPSHOT_BARS, SNAPSHOT_PERIOD_MS, KlineEnricher
from consumers.enrich.port import Enriched, Known, Record
from consumers.indicators.bars import Bar
from consumers.indicators.registry import indicator_set
from consumers.marks import Mark, Trail
from shared.errors import InvalidMessage
from shared.messages import encode
from shared.topics import klines_live_topic, klines_topic
from tests.builders import NOW_MS, kline
from tests.consumer_doubles import SumOfCloses
from tests.simulation.store import MemoryStore

KEY = b"binance:BTCUSDC"


def fresh(known: Known | None = None, **options: Any) -> KlineEnricher:
    enricher = KlineEnricher(
        "1m", options.pop("indicators", SumOfCloses()), **({"live_interval_ms": 1000} | options)
    )
    enricher.assign(0, known or Known(0, 0))
    return enricher


def bar(offset: int, number: int, close: str = "100", **fields: Any) -> Record:
    """The closed bar `number` minutes after NOW_MS."""
    return 0, offset, kline(open_time_ms=NOW_MS + number * 60_000, close=close, **fields)


def live(number: int, close: str = "50", received_ms: int = 0, **fields: Any) -> Record:
    message = kline(
        open_time_ms=NOW_MS + number * 60_000,
        close=close,
        closed=False,
        received_time_ms=NOW_MS + received_ms,
        **fields,
    )
    return 0, 0, message


def values(enriched: Enriched, measurement: str) -> list[tuple[Any, ...]]:
    return [p.values for p in enriched.points if p.series.measurement.name == measurement]


def events(enriched: Enriched) -> list[tuple[str, int, int]]:
    return [
        (event["kind"], (event["first"] - NOW_MS) // 60_000, (event["last"] - NOW_MS) // 60_000)
        for event in enriched.events.messages(0)
    ]


def test_a_closed_bar_is_a_kline_and_its_indicators() -> None:
    enriched = fresh().receive([bar(0, 0, "101.5"), bar(1, 1, "2")], 0)
    assert values(enriched, "kline")[0] == (100.0, 102.0, 99.0, 101.5, 10.0, 1005.0, 6.0, 603.0, 12)
    assert values(enriched, "indicator") == [(101.5,), (103.5,)]
    assert [p.time_ns for p in enriched.points[:2]] == [NOW_MS * 1_000_000] * 2
    assert events(enriched) == [("stored", 0, 1)]


def test_the_open_bar_forks_and_moves_nothing() -> None:
    enricher = fresh()
    first = enricher.receive([live(1, "7"), bar(0, 0, "100")], 0)
    assert values(first, "kline_live") == [(100.0, 102.0, 99.0, 7.0, 10.0, 1005.0, 6.0, 603.0, 12)]
    assert values(first, "indicator_live") == [(107.0,)]
    assert values(enricher.receive([bar(1, 1, "1")], 0), "indicator") == [(101.0,)]


def test_the_open_bar_has_no_indicators_while_the_bar_before_it_is_missing() -> None:
    enriched = fresh().receive([bar(0, 0), live(2)], 0)
    assert len(values(enriched, "kline_live")) == 1
    assert values(enriched, "indicator_live") == []


def test_live_points_keep_their_distance_in_message_time() -> None:
    enricher = fresh()
    assert len(enricher.receive([live(0), live(0, received_ms=10)], 0).points) == 1
    assert enricher.receive([live(0, received_ms=1009)], 0).points == []
    assert len(enricher.receive([live(0, received_ms=1010)], 0).points) == 1
    assert len(enricher.receive([live(1, received_ms=1020)], 0).points) == 1


def test_an_update_of_a_bar_that_is_closed_comes_too_late() -> None:
    assert values(fresh().receive([bar(0, 0), live(0)], 0), "kline_live") == []


def test_a_repeated_bar_is_a_duplicate_and_steps_nothing() -> None:
    enricher = fresh()
    enriched = enricher.receive([bar(0, 0), bar(1, 0), bar(2, 1)], 0)
    assert values(enriched, "indicator") == [(100.0,), (200.0,)]
    assert ("duplicate", 0, 0) in events(enriched)


def test_a_bar_with_other_values_is_revised_and_stored_but_indicators_stay() -> None:
    enricher = fresh()
    enriched = enricher.receive([bar(0, 0, "1"), bar(1, 0, "2")], 0)
    assert [kline_values[3] for kline_values in values(enriched, "kline")] == [1.0, 2.0]
    assert values(enriched, "indicator") == [(1.0,)]
    assert ("revised", 0, 0) in events(enriched)


def test_indicators_go_on_over_a_hole() -> None:
    assert values(fresh().receive([bar(0, 0), bar(1, 5)], 0), "indicator") == [(100.0,), (200.0,)]


def test_a_bar_that_fills_a_hole_late_is_stored_and_moves_no_indicator() -> None:
    enricher = fresh()
    enricher.receive([bar(0, 0), bar(1, 3)], 0)
    late = enricher.receive([bar(2, 1, "7")], 0)
    assert [kline_values[3] for kline_values in values(late, "kline")] == [7.0]
    assert values(late, "indicator") == []
    assert events(late) == [("late", 1, 1), ("stored", 1, 1)]
    # Once it is here, it is a bar like any other.
    assert ("duplicate", 1, 1) in events(enricher.receive([bar(3, 1, "7")], 0))
    assert ("revised", 1, 1) in events(enricher.receive([bar(4, 1, "8")], 0))
    assert values(enricher.receive([bar(5, 4)], 0), "indicator") == [(300.0,)]


def test_a_bar_before_the_first_is_late_too() -> None:
    enricher = fresh()
    enricher.receive([bar(0, 5)], 0)
    assert events(enricher.receive([bar(1, 2)], 0)) == [("late", 2, 2), ("stored", 2, 2)]


def test_a_repeat_older_than_what_is_remembered_is_called_neither_equal_nor_revised() -> None:
    enricher = fresh()
    enricher.receive([bar(n, n) for n in range(RECENT_BARS + 1)], 0)
    assert events(enricher.receive([bar(99, 0)], 0)) == [("late", 0, 0), ("stored", 0, 0)]


def test_holes_survive_a_restart_and_are_bounded() -> None:
    before = fresh()
    before.receive([bar(n, 2 * n) for n in range(MAX_HOLES + 3)], 0)
    snapshots = {state.key: state.value for state in before.state_due(0, everything=True)}
    after = fresh(Known(0, 999, committed=0, snapshots=snapshots))
    (series,) = after._series.values()
    assert series.holes.range_count() == MAX_HOLES
    newest = 2 * MAX_HOLES + 3
    assert events(after.receive([bar(998, newest)], 0)) == [
        ("late", newest, newest),
        ("stored", newest, newest),
    ]


def test_offsets_are_never_committed_past_the_oldest_snapshot() -> None:
    enricher = fresh()
    eth = {"symbol": "ETHUSDC"}
    enricher.receive([bar(0, 0), bar(1, 0, **eth)], 0)
    assert enricher.state_due(1_000, everything=False) == []
    assert enricher.committable(0, 2).offset == 0
    enricher.receive([bar(2 + n, 1 + n) for n in range(SNAPSHOT_BARS)], 0)
    due = enricher.state_due(2_000, everything=False)
    assert [state.key for state in due] == [KEY]
    enricher.state_stored(due)
    assert enricher.committable(0, 99).offset == 1
    due = enricher.state_due(1_000 + SNAPSHOT_PERIOD_MS, everything=False)
    enricher.state_stored(due)
    assert enricher.committable(0, 99).offset == 99


def test_a_snapshot_restores_state_and_skips_what_it_contains() -> None:
    before = fresh()
    before.receive([bar(0, 0), bar(1, 1)], 0)
    snapshots = {state.key: state.value for state in before.state_due(0, everything=True)}
    after = fresh(Known(0, 3, committed=0, snapshots=snapshots))
    enriched = after.receive([bar(0, 0), bar(1, 1), bar(2, 2)], 0)
    assert values(enriched, "indicator") == [(300.0,)]
    assert events(enriched) == [("stored", 0, 2)]
    assert ("duplicate", 1, 1) in events(after.receive([bar(3, 1)], 0))


def test_an_unusable_snapshot_rebuilds_from_the_beginning() -> None:
    before = fresh()
    before.receive([bar(0, 0), bar(1, 1)], 0)
    snapshots = {state.key: state.value for state in before.state_due(0, everything=True)}
    enricher = KlineEnricher("1m", SumOfCloses(version=b"2"), live_interval_ms=0)
    start = enricher.assign(0, Known(1, 9, committed=5, snapshots=snapshots))
    assert start.offset == 1
    assert start.note is not None
    assert "another version" in start.note
    enriched = enricher.receive([bar(1, 1)], 0)
    assert values(enriched, "indicator") == [(100.0,)]
    details = [event["detail"] for event in enriched.events.messages(0) if event["kind"] == "revised"]
    assert details == [f"indicators were rebuilt and sum from {NOW_MS + 60_000} instead of {NOW_MS}"]


@pytest.mark.parametrize("value", [b"", b"{}\n", b"[1]\nx", b'{"schema":2}\nx', b"\xff\n"])
def test_a_state_record_that_is_none_rebuilds_too(value: bytes) -> None:
    enricher = KlineEnricher("1m", SumOfCloses(), live_interval_ms=0)
    assert enricher.assign(0, Known(0, 9, committed=5, snapshots={KEY: value})).offset == 0


def test_committed_offsets_without_any_state_rebuild_from_the_beginning() -> None:
    enricher = KlineEnricher("1m", SumOfCloses(), live_interval_ms=0)
    start = enricher.assign(0, Known(0, 9, committed=5))
    assert start == (0, "no indicator state, rebuilding it from the topic")


def test_a_topic_made_anew_is_read_although_offsets_begin_again() -> None:
    before = fresh()
    before.receive([bar(500, 0)], 0)
    snapshots = {state.key: state.value for state in before.state_due(0, everything=True)}
    after = fresh(Known(0, 1, committed=501, snapshots=snapshots))
    assert values(after.receive([bar(0, 1)], 0), "indicator") == [(200.0,)]


def test_on_the_memory_broker_state_comes_from_the_stored_bars() -> None:
    enricher = fresh(keeps_state=False, rebuilt_from_store=True)
    batch = [bar(0, 1), bar(1, 2)]
    assert enricher.unknown_series(batch) == {("binance", "BTCUSDC"): 0}
    enricher.seed("binance", "BTCUSDC", 0, [Bar(NOW_MS + n * 60_000, 1, 1, 1, 10, 1) for n in range(2)])
    enriched = enricher.receive(batch, 0)
    # The first was stored before and is read again: no duplicate on the wire.
    assert values(enriched, "indicator") == [(120.0,)]
    assert events(enriched) == [("stored", 1, 2)]
    assert enricher.state_due(10**9, everything=True) == []
    assert enricher.committable(0, 2).offset == 2


def test_on_the_memory_broker_without_the_store_everything_is_read_again() -> None:
    enricher = KlineEnricher("1m", SumOfCloses(), live_interval_ms=0, keeps_state=False)
    assert enricher.assign(0, Known(0, 9, committed=5)).offset == 0


@pytest.mark.parametrize(
    ("topic", "fields", "wrong"),
    [
        (klines_topic("1m"), {"interval": "5m"}, "interval"),
        (klines_topic("1m"), {"open_time_ms": NOW_MS + 1}, "open_time_ms"),
        (klines_topic("1m"), {"open_time_ms": 2**62 - 2**62 % 60_000}, "open_time_ms"),
        (klines_topic("1m"), {"closed": False}, "closed"),
        (klines_live_topic("1m"), {"closed": True}, "closed"),
        (klines_topic("1m"), {"close": "1e5"}, "close"),
    ],
)
def test_a_bar_that_breaks_its_contract_is_invalid(topic: str, fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        fresh().decode(topic, encode(kline(**fields)))
    assert caught.value.field == wrong


def test_the_real_indicator_set_fits() -> None:
    indicators = indicator_set(("all",))
    enricher = fresh(indicators=indicators)
    enriched = enricher.receive([bar(n, n, close=f"{100 + n % 3}") for n in range(50)] + [live(50)], 0)
    assert len(values(enriched, "indicator")[-1]) == len(indicators.columns)
    assert len(values(enriched, "indicator_live")) == 1
    snapshots = {state.key: state.value for state in enricher.state_due(0, everything=True)}
    again = fresh(Known(0, 51, snapshots=snapshots), indicators=indicators)
    # By their texts: a NaN is not equal to itself.
    assert repr(again.receive([bar(50, 50)], 0).points) == repr(enricher.receive([bar(50, 50)], 0).points)


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """A partition with two series in order without holes, and repeats."""
    numbers = {"BTCUSDC": 0, "ETHUSDC": 0}
    log: list[Record] = []
    for _ in range(draw(st.integers(1, 60))):
        if log and draw(st.integers(0, 7)) == 0:
            log.append((0, len(log), draw(st.sampled_from(log))[2]))
            continue
        symbol = draw(st.sampled_from(sorted(numbers)))
        log.append(bar(len(log), numbers[symbol], close=str(draw(st.integers(1, 9))), symbol=symbol))
        numbers[symbol] += 1
    return log


@pytest.mark.thorough
@given(
    logs(),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.sets(st.integers(0, 20), max_size=5),
    st.lists(st.sampled_from([0, 1_000, 40_000]), min_size=1, max_size=4),
)
def test_crashes_and_batches_change_no_point(
    log: list[Record], sizes: list[int], crashes: set[int], steps_ms: list[int]
) -> None:
    undisturbed = MemoryStore()
    undisturbed.write(fresh().receive(log, 0).points)
    store, states, committed = MemoryStore(), dict[bytes, bytes](), None
    enricher, position, turn, now_ms = fresh(), 0, 0, 1
    while position < len(log):
        batch = log[position : position + sizes[turn % len(sizes)]]
        store.write(enricher.receive(batch, now_ms).points)
        position += len(batch)
        now_ms += steps_ms[turn % len(steps_ms)]
        due = enricher.state_due(now_ms, everything=False)
        states |= {state.key: state.value for state in due}
        # The crash falls before the state is known to be acknowledged, or after the commit.
        if turn % 2:
            enricher.state_stored(due)
            committed = enricher.committable(0, position).offset
        if turn in crashes:
            enricher = KlineEnricher("1m", SumOfCloses(), live_interval_ms=0)
            position = enricher.assign(0, Known(0, len(log), committed, snapshots=states)).offset
        elif turn % 2 == 0:
            enricher.state_stored(due)
        turn += 1
    assert store.rows == undisturbed.rows


def restarted(before: KlineEnricher, known: Known) -> KlineEnricher:
    states = {state.key: state.value for state in before.state_due(0, everything=True)}
    return fresh(replace(known, snapshots=states))


def test_other_bars_at_offsets_that_a_state_contains_are_new() -> None:
    """The topic lost bars 2 to 5 of which the state knows 2 and 3; others lie at their offsets."""
    before = fresh()
    before.receive([bar(n, n) for n in range(4)], 0)
    cut = Known(0, 6, committed=4, trail=Trail([Mark(4, 1), Mark(2, 2)]), proved=2)
    after = restarted(before, cut)
    enriched = after.receive([bar(2, 4), bar(3, 5)], 0)
    assert values(enriched, "indicator") == [(500.0,), (600.0,)]
    assert events(enriched) == [("stored", 4, 5)]


def test_bars_that_come_again_after_a_cut_are_no_duplicates_and_move_no_indicator() -> None:
    before = fresh()
    before.receive([bar(n, n) for n in range(4)], 0)
    cut = Known(0, 6, committed=4, trail=Trail([Mark(4, 1), Mark(2, 2)]), proved=2)
    after = restarted(before, cut)
    enriched = after.receive([bar(2, 2), bar(3, 3), bar(4, 4)], 0)
    assert [row[3] for row in values(enriched, "kline")] == [100.0] * 3
    assert values(enriched, "indicator") == [(500.0,)]
    assert events(enriched) == [("stored", 2, 4)]


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(Known(0, 1), id="nothing committed yet"),
        pytest.param(Known(0, 3, committed=4), id="a topic made anew, shorter than what was read"),
        pytest.param(
            Known(0, 6, committed=4, trail=Trail([Mark(4, 1), Mark(2, 2)]), proved=2), id="after a cut"
        ),
    ],
)
def test_a_bar_that_comes_with_other_values_where_any_may_have_been_read_is_revised(known: Known) -> None:
    before = fresh()
    before.receive([bar(n, n) for n in range(4)], 0)
    after = restarted(before, known)
    enriched = after.receive([bar(0, 2), bar(1, 3, "7")], 0)
    assert [row[3] for row in values(enriched, "kline")] == [100.0, 7.0]
    assert events(enriched) == [("stored", 2, 3), ("revised", 3, 3)]
    # Its new values are remembered, also over another restart, before which nothing is committed.
    assert after.committable(0, 2).offset == 1
    assert events(after.receive([bar(2, 3, "7")], 0)) == [("stored", 3, 3)]
    assert events(restarted(after, known).receive([bar(2, 3, "7")], 0)) == [("stored", 3, 3)]


def test_without_a_cut_a_bar_that_comes_again_is_a_duplicate() -> None:
    before = fresh()
    before.receive([bar(n, n) for n in range(4)], 0)
    after = restarted(before, Known(0, 6, committed=4, trail=Trail([Mark(4, 1)]), proved=4))
    assert events(after.receive([bar(4, 3)], 0)) == [("duplicate", 3, 3), ("stored", 3, 3)]


FAR_MS = 100 * 3_600_000


def test_a_closed_bar_far_ahead_of_its_event_is_refused() -> None:
    message = kline(open_time_ms=NOW_MS + FAR_MS, event_time_ms=NOW_MS, received_time_ms=NOW_MS + FAR_MS)
    with pytest.raises(InvalidMessage, match="close_time_ms"):
        fresh().decode(klines_topic("1m"), encode(message))


def test_an_open_bar_may_end_later_than_now_but_not_begin_later() -> None:
    topic = klines_live_topic("1m")
    message = kline(open_time_ms=NOW_MS, closed=False)
    fresh().decode(topic, encode(message))
    with pytest.raises(InvalidMessage, match="open_time_ms"):
        fresh().decode(topic, encode(message | {"open_time_ms": NOW_MS + FAR_MS}))


def test_a_state_that_has_taken_a_bar_of_the_future_is_rebuilt() -> None:
    before = fresh()
    before.receive([bar(0, 0), bar(1, FAR_MS // 60_000)], 0)
    [state] = before.state_due(0, everything=True)
    known = Known(0, 2, committed=2, snapshots={KEY: state.value}, now_ms=NOW_MS + 120_000)
    after = KlineEnricher("1m", SumOfCloses(), live_interval_ms=1000)
    start = after.assign(0, known)
    assert start.offset == 0
    assert "of the future" in (start.note or "")
    later = after.receive([bar(0, 0), bar(2, 1)], 0)
    assert values(later, "indicator") == [(100.0,), (200.0,)]


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        ({"source": "backfill"}, True),
        ({"source": "stream"}, False),
        ({"source": "backfill", "closed": False}, False),
        ({"source": "backfill", "close_time_ms": NOW_MS + 7 + 60_000}, False),  # longer than its interval
        ({"source": "backfill", "close_time_ms": NOW_MS + 6}, False),
    ],
)
def test_a_bar_beside_the_grid_is_one_that_was_filled_in(fields: dict[str, Any], taken: bool) -> None:
    message = kline(
        **{"open_time_ms": NOW_MS + 7, "close_time_ms": NOW_MS + 59_999, "event_time_ms": None, **fields}
    )
    if taken:
        assert fresh().decode(klines_topic("1m"), encode(message)) == message
    else:
        with pytest.raises(InvalidMessage, match="open_time_ms"):
            fresh().decode(klines_topic("1m"), encode(message))


@pytest.mark.parametrize("sixths", [1, 5, 6, 7, 9, 11, 12, 13, 18, 25])
def test_a_bar_beside_the_grid_leaves_only_whole_ids_open(sixths: int) -> None:
    """Between bars of two grids there may be more than an interval and no id."""
    enricher = fresh()
    beside_ms = NOW_MS + sixths * 10_000
    beside = kline(open_time_ms=beside_ms, close="100", source="backfill")
    enriched = enricher.receive([bar(0, 0), (0, 1, beside)], 0)
    assert values(enriched, "indicator") == [(100.0,), (200.0,)]
    (record,) = enricher.state_due(0, everything=True)
    number = NOW_MS // 60_000
    assert list(load_snapshot(record.value).holes) == (
        [(number + 1, number + sixths // 6 - 1)] if sixths >= 12 else []
    )


def details_of(enriched: Enriched) -> list[str]:
    return [event["detail"] or "" for event in enriched.events.messages(0) if event["kind"] == "revised"]


@pytest.mark.parametrize("lost", ["gone", "unreadable", "of the future"])
@pytest.mark.parametrize("low", [0, 2])
def test_indicators_that_sum_from_elsewhere_after_a_rebuild_are_told(lost: str, low: int) -> None:
    """Where the topic has all bars they are the same again, and nothing is told."""
    before = fresh()
    before.receive([bar(n, n) for n in range(4)], 0)
    (state,) = before.state_due(0, everything=True)
    snapshots = {
        "gone": {},
        "unreadable": {KEY: b"{}\n"},
        "of the future": {KEY: state.value},
    }[lost]
    now_ms = NOW_MS - 10 * 86_400_000 if lost == "of the future" else 0
    enricher = fresh(Known(low, 4, committed=4, snapshots=snapshots, now_ms=now_ms))
    enriched = enricher.receive([bar(n, n) for n in range(low, 4)], 0)
    origin = NOW_MS if lost == "of the future" else "an unknown time"
    from_ms = NOW_MS + low * 60_000
    assert details_of(enriched) == (
        [f"indicators were rebuilt and sum from {from_ms} instead of {origin}"] if low else []
    )


def test_a_series_that_begins_after_a_rebuild_is_none_that_was_rebuilt() -> None:
    enricher = fresh(Known(2, 4, committed=4))
    enriched = enricher.receive([bar(4, 4, symbol="NEWUSDC")], 0)
    assert details_of(enriched) == []


def test_a_bar_that_goes_back_to_its_first_values_after_a_restart_is_told() -> None:
    before = fresh()
    before.receive([bar(0, 0, "101")], 0)
    (state,) = before.state_due(0, everything=True)
    # Other values were read, told of and committed; the state has the first ones.
    trail = Trail([Mark(2, 0)])
    known = Known(0, 2, committed=1, trail=trail, proved=2, snapshots={KEY: state.value})
    enricher = fresh(known)
    assert details_of(enricher.receive([bar(1, 0, "101.5")], 0)) == []
    assert len(details_of(enricher.receive([bar(2, 0, "101")], 0))) == 1
