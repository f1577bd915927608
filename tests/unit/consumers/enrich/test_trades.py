"""Trades become points; summaries are exact, whole, and the same after any crash."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.arrival import TimeAhead
from consumers.enrich.port import Enriched, Known, Record
from consumers.enrich.trades import StoredTrade, TradeEnricher
from shared.errors import InvalidMessage
from shared.ledger import LedgerSeries
from shared.messages import encode
from shared.topics import TRADES
from shared.trade_ids import number
from tests.builders import NOW_MS, trade
from tests.simulation.store import MemoryStore

MINUTE = NOW_MS // 60_000
BTC = LedgerSeries("binance", "BTCUSDC", "trades")

HERE = {
    "event_time_ms": NOW_MS,
    "received_time_ms": NOW_MS + 5,
}  # when it was said and read, whatever it says of itself


def record(offset: int, trade_id: int, time_ms: int = NOW_MS, **fields: Any) -> Record:
    return 0, offset, trade(trade_id=trade_id, trade_time_ms=time_ms, received_time_ms=time_ms, **fields)


def fresh(known: Known | None = None) -> TradeEnricher:
    enricher = TradeEnricher()
    enricher.assign(0, known or Known(0, 0))
    return enricher


def summary(enriched: Enriched, interval: str = "1m") -> list[tuple[Any, ...]]:
    return [
        point.values
        for point in enriched.points
        if point.series.measurement.name == "trade_summary" and point.series.tags[2] == interval
    ]


def events(enriched: Enriched) -> list[tuple[str, int, int]]:
    return [(event["kind"], event["first"], event["last"]) for event in enriched.events.messages(NOW_MS)]


def test_a_trade_is_a_point_whose_time_carries_its_id() -> None:
    point = fresh().receive([record(0, 12_345_678, price="61602.01", quantity="0.5")], 0).points[0]
    assert point.time_ns == NOW_MS * 1_000_000 + 345_678
    assert point.values == (12_345_678, 61602.01, 0.5, False)
    assert point.series.tags == ("binance", "BTCUSDC")


def test_a_summary_is_exact_where_floats_are_not() -> None:
    batch = [record(n, n, price="0.1", quantity="0.1", buyer_is_maker=n == 2) for n in range(3)]
    enriched = fresh().receive(batch, 0)
    assert summary(enriched) == summary(enriched, "1s") == [(3, 0.3, 0.03, 0.2, 0.1)]


def test_a_trade_seen_twice_counts_once_and_is_a_duplicate() -> None:
    enricher = fresh()
    enricher.receive([record(0, 1), record(1, 2)], 0)
    enriched = enricher.receive([record(2, 2)], 0)
    assert events(enriched) == [("duplicate", 2, 2), ("stored", 2, 2)]
    assert summary(enriched) == []
    assert summary(enricher.receive([record(3, 3)], 0))[0][0] == 3


def test_a_late_repair_completes_its_minute() -> None:
    enricher = fresh()
    enricher.receive([record(0, 1, NOW_MS), record(1, 3, NOW_MS + 60_000)], 0)
    enriched = enricher.receive([record(2, 2, NOW_MS + 59_999, source="backfill")], 0)
    assert [values[0] for values in summary(enriched)] == [2]


def test_a_repair_of_a_minute_that_made_room_is_late_and_touches_no_summary() -> None:
    enricher = fresh()
    enricher.receive([record(n, 10 * n, NOW_MS + n * 60_000) for n in range(13)], 0)
    enriched = enricher.receive([record(13, 5, NOW_MS + 1, source="backfill")], 0)
    assert summary(enriched) == []
    assert events(enriched) == [("late", 5, 5), ("stored", 5, 5)]


def test_a_batch_of_many_minutes_sums_up_each_of_them() -> None:
    # What is read after an outage, or of a symbol that trades once in a while.
    enriched = fresh().receive([record(n, n, NOW_MS + n * 60_000, quantity="2") for n in range(40)], 0)
    assert [values[:2] for values in summary(enriched)] == [(1, 2.0)] * 40
    assert len(summary(enriched, "1s")) == 40


def test_a_long_repair_does_not_close_the_open_minute() -> None:
    enricher = fresh()
    enricher.receive([record(0, 1_000, NOW_MS)], 0)
    repairs = [record(1 + n, n, NOW_MS - (40 - n) * 60_000, source="backfill") for n in range(20)]
    enricher.receive(repairs, 0)
    assert summary(enricher.receive([record(30, 1_001, NOW_MS)], 0))[0][0] == 2


def test_offsets_are_held_at_the_first_record_of_the_oldest_open_minute() -> None:
    enricher = fresh()
    enricher.receive(
        [record(n, n, NOW_MS + minute * 60_000) for n, minute in enumerate((0, 0, 1, 1, 2, 2))], 0
    )
    commit = enricher.committable(0, 6)
    assert commit.offset == 2
    assert commit.metadata == f"minute={MINUTE + 1} read=6"


def test_an_idle_symbol_holds_nothing_back() -> None:
    enricher = fresh()
    enricher.receive([record(0, 1, NOW_MS, symbol="THINUSDC")], 0)
    enricher.receive([record(1, 1, NOW_MS + 600_000)], 0)
    assert enricher.committable(0, 2).offset == 1


def test_a_part_of_a_minute_never_replaces_the_whole() -> None:
    known = Known(0, 100, committed=50, metadata=f"minute={MINUTE + 1} read=60")
    enricher = fresh(known)
    enriched = enricher.receive([record(50, 5, NOW_MS), record(60, 6, NOW_MS + 1)], 0)
    assert summary(enriched) == []
    # Offset 50 was read before the restart: that is no news.
    assert events(enriched) == [("late", 6, 6), ("stored", 5, 6)]
    assert len(summary(enricher.receive([record(61, 7, NOW_MS + 60_000)], 0))) == 1


@pytest.mark.parametrize("metadata", ["", "minute=x read=1", "someone else's"])
def test_without_a_note_the_first_minutes_are_not_summed_up(metadata: str) -> None:
    enricher = fresh(Known(0, 100, committed=50, metadata=metadata))
    first = [record(50 + n, n, NOW_MS + n * 60_000) for n in range(3)]
    assert [values[0] for values in summary(enricher.receive(first, 0))] == [1]


def test_an_offset_that_is_gone_starts_at_the_first_that_is_there() -> None:
    start = TradeEnricher().assign(0, Known(40, 100, committed=20, metadata=f"minute={MINUTE} read=30"))
    assert start.offset == 40
    assert start.note == "committed offset 20 is out of range, reading from 40"


def test_a_symbol_seeded_from_the_store_goes_on_summing() -> None:
    enricher = fresh()
    batch = [record(0, 2, quantity="0.5"), record(1, 3, quantity="0.25")]
    assert enricher.unknown_symbols(batch) == {("binance", "BTCUSDC"): (0, None)}
    stored = [StoredTrade(1, NOW_MS, "100.0", "1.0", False), StoredTrade(2, NOW_MS, "100.0", "0.5", True)]
    enricher.seed("binance", "BTCUSDC", 0, MINUTE, stored)
    assert enricher.unknown_symbols(batch) == {}
    enriched = enricher.receive(batch, 0)
    assert summary(enriched) == [(3, 1.75, 175.0, 1.25, 100.0)]
    assert events(enriched) == [("stored", 2, 3)]


def test_revoked_partitions_leave_nothing_behind() -> None:
    enricher = fresh()
    enricher.receive([record(0, 1)], 0)
    enricher.revoke(0)
    assert enricher.unknown_symbols([record(1, 2)]) != {}


@pytest.mark.parametrize("time_ms", [2**63 // 1_000_000, 2**63 - 1])
def test_a_time_that_no_point_can_have_is_invalid(time_ms: int) -> None:
    with pytest.raises(InvalidMessage, match="trade_time_ms"):
        TradeEnricher().decode(TRADES, encode(trade(trade_time_ms=time_ms, **HERE)))


def test_a_rejected_trade_is_counted_by_its_id() -> None:
    point = fresh().receive([record(0, 7)], 0).points[0]
    assert fresh().ledger_id(point) == (BTC, 7)


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """A partition with two symbols: in id order each, with repeats, and repairs of the last minutes."""
    times = {"BTCUSDC": NOW_MS, "ETHUSDC": NOW_MS}
    ids = {"BTCUSDC": 0, "ETHUSDC": 0}
    log: list[Record] = []
    for _ in range(draw(st.integers(1, 40))):
        symbol = draw(st.sampled_from(sorted(times)))
        if log and draw(st.integers(0, 5)) == 0:
            again = draw(st.sampled_from(log))[2]
            # It arrives when it is sent again: arrival is what tells a noted minute of the future.
            log.append((0, len(log), {**again, "received_time_ms": max(times.values()) + 5}))
            continue
        ids[symbol] += 1
        step = draw(st.sampled_from([0, 1, 400, 20_000, 59_000, 300_000]))
        # Symbols of a partition advance together, less than a minute apart.
        times[symbol] = max(times[symbol] + step, max(times.values()) - 50_000)
        quantity = draw(st.sampled_from(["0.10000000", "3.33333333", "0.00000001"]))
        message = trade(
            symbol=symbol,
            trade_id=ids[symbol],
            trade_time_ms=times[symbol],
            received_time_ms=max(times.values()) + 5,
            quantity=quantity,
            buyer_is_maker=draw(st.booleans()),
        )
        log.append((0, len(log), message))
    return log


def run_through(log: list[Record], sizes: list[int], crashes: set[int]) -> MemoryStore:
    """Read the log in batches; at a crash all memory is lost, and reading goes on at the commit."""
    store, known = MemoryStore(), Known(0, len(log))
    enricher = fresh(known)
    position, turn = 0, 0
    while position < len(log):
        size = sizes[turn % len(sizes)]
        batch = log[position : position + size]
        store.write(enricher.receive(batch, 0).points)
        position += len(batch)
        if turn % 2:
            commit = enricher.committable(0, position)
            assert commit.offset <= position
            known = Known(0, len(log), committed=commit.offset, metadata=commit.metadata)
        if turn in crashes:
            enricher = TradeEnricher()
            position = enricher.assign(0, known).offset
        turn += 1
    return store


@pytest.mark.thorough
@given(logs(), st.lists(st.integers(1, 7), min_size=1, max_size=4), st.sets(st.integers(0, 12), max_size=4))
def test_crashes_and_batches_change_no_point(log: list[Record], sizes: list[int], crashes: set[int]) -> None:
    assert run_through(log, sizes, crashes).rows == run_through(log, [len(log)], set()).rows


@pytest.mark.thorough
@given(logs())
def test_a_summary_is_the_sum_of_its_trades(log: list[Record]) -> None:
    store = run_through(log, [3], set())
    messages = {(m["symbol"], m["trade_id"]): m for _, _, m in log}.values()
    for (tags, time_ns), fields in store.of("trade_summary").items():
        length_ms = 1_000 if tags[2] == "1s" else 60_000
        inside = [
            m
            for m in messages
            if m["symbol"] == tags[1] and m["trade_time_ms"] // length_ms == time_ns // 1_000_000 // length_ms
        ]
        assert fields["trade_count"] == len(inside)
        assert fields["base_volume"] == float(sum(Decimal(m["quantity"]) for m in inside))
        assert fields["taker_buy_base_volume"] == float(
            sum(Decimal(m["quantity"]) for m in inside if not m["buyer_is_maker"])
        )


# -- numberings, and times of the future


def test_where_ids_begin_anew_nothing_is_stored_in_the_place_of_another() -> None:
    later = NOW_MS + 60_000
    batch = [
        *(record(n, 5_000 + n, NOW_MS + n) for n in range(20)),
        *(record(20 + n, 5_000 + n, later + n, epoch=1) for n in range(20)),
    ]
    enriched = fresh().receive(batch, 0)
    points = [point for point in enriched.points if point.series.measurement.name == "trade"]
    assert len({point.time_ns for point in points}) == 40
    assert [point.values[0] for point in points[-2:]] == [number(1, 5_018), number(1, 5_019)]
    # The digits below the millisecond are those of the exchange's id.
    assert points[-1].time_ns == (later + 19) * 1_000_000 + 5_019
    assert events(enriched) == [("stored", 5_000, 5_019), ("stored", number(1, 5_000), number(1, 5_019))]
    assert sum(values[0] for values in summary(enriched)) == 40


def test_the_same_id_of_two_numberings_in_one_minute_is_no_duplicate() -> None:
    enriched = fresh().receive([record(0, 7, NOW_MS), record(1, 7, NOW_MS + 1, epoch=1)], 0)
    assert events(enriched) == [("stored", 7, 7), ("stored", number(1, 7), number(1, 7))]


def test_a_trade_far_ahead_of_its_event_or_arrival_is_refused() -> None:
    far_ms = NOW_MS + 50 * 3_600_000
    for message, error in (
        (trade(trade_time_ms=far_ms, **HERE), InvalidMessage),
        (trade(trade_time_ms=far_ms, **HERE | {"event_time_ms": far_ms}), TimeAhead),
        (trade(trade_time_ms=far_ms, **HERE | {"event_time_ms": None}, source="backfill"), TimeAhead),
    ):
        with pytest.raises(error, match="trade_time_ms"):
            TradeEnricher().decode(TRADES, encode(message))


def test_a_minute_of_the_future_that_was_committed_once_hides_no_summary_for_ever() -> None:
    far = MINUTE + 50 * 60
    enricher = fresh(Known(0, 10, committed=5, metadata=f"minute={far} read=10"))
    # What the minutes up to then held is not known any more; from then on they are whole.
    first = enricher.receive([record(10, 1, NOW_MS)], 0)
    assert events(first) == [("late", 1, 1), ("stored", 1, 1)]
    later = enricher.receive([record(11, 2, NOW_MS + 2 * 60_000)], 0)
    assert summary(later) == [(1, 0.5, 50.0, 0.5, 100.0)]
    assert int(enricher.committable(0, 12).metadata.split("=")[1].split()[0]) < MINUTE + 10
