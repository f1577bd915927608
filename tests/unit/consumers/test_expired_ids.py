from __future__ import annotations

from typing import Any

import orjson
import pytest

from consumers.enrich.trades import TradeEnricher
from consumers.expired_ids import DETAIL, ExpiredIds
from shared.errors import PointsRejected
from shared.ledger import LedgerSeries
from shared.topics import LEDGER
from tests.builders import trade
from tests.unit.consumers.service_bench import Bench

TRADES = LedgerSeries("binance", "BTCUSDC", "trades")
HOUR_NS = 3_600 * 10**9
NOW_NS = 500_000 * HOUR_NS


def events_of(ids: ExpiredIds, oldest_kept_ns: int | None) -> list[tuple[str, int, int, str | None]]:
    return [
        (event["kind"], event["first"], event["last"], event["detail"])
        for event in ids.excused(oldest_kept_ns).messages(0)
    ]


def test_ids_are_excused_when_the_exchanges_time_says_so_and_once() -> None:
    ids = ExpiredIds()
    for item in range(10):
        ids.add(TRADES, item, NOW_NS + item)
    assert events_of(ids, None) == []
    assert events_of(ids, NOW_NS - 1) == []
    assert ids.count == 10
    assert events_of(ids, NOW_NS) == [("offline", 0, 0, DETAIL)]
    assert events_of(ids, NOW_NS + HOUR_NS) == [("offline", 1, 9, DETAIL)]
    assert ids.count == 0
    assert events_of(ids, NOW_NS + HOUR_NS) == []


def test_many_ids_are_few_entries() -> None:
    ids = ExpiredIds()
    for item in range(100_000):
        ids.add(TRADES, item, NOW_NS + item * 10**6)
    assert len(ids._waiting) <= 2


def told(bench: Bench) -> list[tuple[str, int, int]]:
    events: list[dict[str, Any]] = [orjson.loads(record["value"]) for record in bench.of(LEDGER)]
    return [(event["kind"], event["first"], event["last"]) for event in events]


@pytest.mark.parametrize("rejected", [False, True])
def test_what_a_store_does_not_keep_is_not_entered_as_stored(rejected: bool) -> None:
    bench = Bench()
    point = TradeEnricher().receive([(0, 0, trade(trade_id=0))], 0).points[0]
    other = TradeEnricher().receive([(0, 0, trade(trade_id=1))], 0).points[0]
    write, given_back = bench.store.write, [point]

    def expiring(points: Any) -> Any:
        if point not in points:
            return write(points)
        write([at for at in points if at != point])
        if rejected:
            raise PointsRejected([(other, "field type conflict")], given_back)
        return given_back

    bench.store.write = expiring  # type: ignore[method-assign]
    bench.store.kept_ns = point.time_ns + 2 * HOUR_NS
    bench.service.run()
    assert ("offline", 0, 0) in told(bench)
    assert not any(kind == "stored" and first <= 0 <= last for kind, first, last in told(bench))
    assert bench.health.troubles() == []


def test_what_a_store_refuses_for_its_age_though_it_is_young_is_neither_stored_nor_excused() -> None:
    """The server's clock is days ahead."""
    bench = Bench()
    write = bench.store.write

    def refusing(points: Any) -> Any:
        write([])
        return [at for at in points if at.series.measurement.name == "trade"]

    bench.store.write = refusing  # type: ignore[method-assign]
    first = TradeEnricher().receive([(0, 0, trade(trade_id=0))], 0).points[0]
    bench.store.kept_ns = first.time_ns - HOUR_NS
    bench.service.run()
    assert told(bench) == []
    (trouble,) = bench.health.troubles()
    assert trouble.startswith("expiry: the store refuses 5 points as too old")
