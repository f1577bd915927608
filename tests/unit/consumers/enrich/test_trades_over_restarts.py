"""Sums of minutes over restarts: whole, or what they lack is said."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any, NamedTuple

import pytest

from consumers.enrich.port import Commit, Known, Record
from consumers.enrich.trade_windows import KEPT_MINUTES
from consumers.enrich.trades import TradeEnricher
from consumers.marks import Mark, Trail
from tests.builders import NOW_MS, trade

MINUTE = NOW_MS // 60_000


def record(offset: int, trade_id: int, minute: int, **fields: Any) -> Record:
    time_ms = NOW_MS + minute * 60_000
    return 0, offset, trade(trade_id=trade_id, trade_time_ms=time_ms, received_time_ms=time_ms, **fields)


def started(known: Known) -> TradeEnricher:
    enricher = TradeEnricher()
    enricher.assign(0, known)
    return enricher


def after(commit: Commit) -> TradeEnricher:
    return started(Known(0, 1_000, committed=commit.offset, metadata=commit.metadata))


def told(enricher: TradeEnricher, *records: Record) -> tuple[dict[int, int], list[tuple[int, int]]]:
    """Trades in the sum of each minute that changed, and ids that were too late for theirs."""
    enriched = enricher.receive(records, 0)
    sums = {
        point.time_ns // 60_000_000_000 - MINUTE: int(point.values[0] or 0)
        for point in enriched.points
        if point.series.measurement.name == "trade_summary" and point.series.tags[2] == "1m"
    }
    events = enriched.events.messages(NOW_MS)
    return sums, [(event["first"], event["last"]) for event in events if event["kind"] == "late"]


def test_a_minute_that_made_room_to_a_repair_is_not_summed_up_anew() -> None:
    enricher = started(Known(0, 0))
    enricher.receive([record(0, 100, 20), record(1, 101, 20), record(2, 102, 21)], 0)
    repair = [record(3 + n, n, n, source="backfill") for n in range(KEPT_MINUTES)]
    enricher.receive(repair, 0)
    following = after(enricher.committable(0, 3 + KEPT_MINUTES))
    assert told(following, record(40, 99, 20, source="backfill")) == ({}, [(99, 99)])


def test_a_minute_of_repaired_trades_alone_is_read_again_from_its_begin() -> None:
    enricher = started(Known(0, 100, committed=10, metadata=f"minute={MINUTE} read=10"))
    told(enricher, record(10, 1, 0, source="backfill"), record(11, 2, 0, source="backfill"))
    commit = enricher.committable(0, 12)
    assert commit.offset == 10
    following = after(commit)
    again = [record(10 + n, 1 + n, 0, source="backfill") for n in range(3)]
    assert told(following, *again) == ({0: 3}, [])


def test_what_was_read_before_stays_known_to_one_who_reads_nothing() -> None:
    enricher = started(Known(0, 100, committed=0, metadata=f"minute={MINUTE + 1} read=7"))
    following = after(enricher.committable(0, 0))
    assert told(following, record(6, 6, 0), record(7, 7, 0)) == ({}, [(7, 7)])


@pytest.mark.parametrize(
    "known",
    [
        Known(0, 20, committed=30, metadata=f"minute={MINUTE} read=30"),  # fewer records than were read
        Known(0, 50, committed=5, metadata=f"minute={MINUTE} read=30", trail=Trail([Mark(30, 7)]), proved=0),
    ],
)
def test_a_topic_that_was_made_anew_leaves_sums_of_its_former_trades_alone(known: Known) -> None:
    """The minutes that it begins with may have trades that it lacks; what is not added is told."""
    enricher = started(known)
    assert told(enricher, record(0, 31, 0), record(1, 32, 0)) == ({}, [(31, 32)])
    assert told(enricher, record(2, 33, 2)) == ({2: 1}, [])


class World(NamedTuple):
    """Lives of consumers over one topic: sums as stored, and ids told late; by symbol."""

    log: list[dict[str, Any]]
    sums: dict[tuple[str, int], int]
    late: set[tuple[str, int]]
    restarts: int


def topic(chance: random.Random) -> list[dict[str, Any]]:
    """Trades of the stream, and outages whose trades are repaired between those that follow."""
    log: list[dict[str, Any]] = []
    ids: dict[str, int] = defaultdict(int)
    time_ms = NOW_MS

    def add(symbol: str, trade_id: int, at_ms: int, source: str) -> None:
        event_ms = at_ms if source == "stream" else None
        times = {"trade_time_ms": at_ms, "received_time_ms": time_ms + 50, "event_time_ms": event_ms}
        log.append({**trade(symbol=symbol, trade_id=trade_id, source=source), **times})

    def live(symbol: str) -> None:
        ids[symbol] += 1
        add(symbol, ids[symbol], time_ms, "stream")

    symbols = ["A", "B"][: chance.choice([1, 2])]
    for _ in range(chance.randint(20, 80)):
        time_ms += chance.choice([500, 3_000, 20_000, 61_000])
        for symbol in symbols:
            if chance.random() < 0.8:
                live(symbol)
        if chance.random() < 0.05:
            symbol, missing = chance.choice(symbols), []
            for _ in range(chance.randint(2, 50)):
                time_ms += 30_000
                ids[symbol] += 1
                missing.append((ids[symbol], time_ms))
            while missing:
                page = chance.randint(1, 10)
                for trade_id, at_ms in missing[:page]:
                    add(symbol, trade_id, at_ms, "backfill")
                del missing[:page]
                time_ms += chance.choice([200, 2_000, 10_000])
                live(symbol)
    return log


def lived(seed: int) -> World:
    chance = random.Random(seed)
    log = topic(chance)
    world = World(log, {}, set(), 0)
    enricher, commit = started(Known(0, len(log))), Commit(0)
    position = restarts = 0
    while position < len(log):
        end = min(position + chance.randint(1, 20), len(log))
        enriched = enricher.receive([(0, offset, log[offset]) for offset in range(position, end)], 0)
        for point in enriched.points:
            if point.series.measurement.name == "trade_summary" and point.series.tags[2] == "1m":
                minute = point.series.tags[1], point.time_ns // 60_000_000_000
                world.sums[minute] = int(point.values[0] or 0)
        for event in enriched.events.messages(0):
            if event["kind"] == "late":
                world.late.update(
                    (event["symbol"], each) for each in range(event["first"], event["last"] + 1)
                )
        position = end
        if chance.random() < 0.3:
            commit = enricher.committable(0, position)
        if chance.random() < 0.2 and commit.metadata:
            enricher, position, restarts = after(commit), commit.offset, restarts + 1
    return world._replace(restarts=restarts)


@pytest.mark.parametrize("begin", range(0, 400, 50))
def test_a_sum_has_all_trades_of_its_minute_that_were_not_told_late(begin: int) -> None:
    restarts = 0
    for seed in range(begin, begin + 50):
        world = lived(seed)
        restarts += world.restarts
        due: dict[tuple[str, int], set[int]] = defaultdict(set)
        for message in world.log:
            minute = message["symbol"], message["trade_time_ms"] // 60_000
            due[minute] |= {message["trade_id"]} - {
                trade_id for symbol, trade_id in world.late if symbol == message["symbol"]
            }
        for minute, ids in due.items():
            assert world.sums.get(minute, 0) >= len(ids), (seed, minute)
    assert restarts > 50
