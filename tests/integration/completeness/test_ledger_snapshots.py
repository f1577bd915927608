"""The ledger's snapshots on a real Kafka: its events may go, what they said stays, and can be repaired."""

from __future__ import annotations

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from shared.kafka_reader import TopicReader
from shared.topics import LEDGER, TRADES
from tests.builders import ledger
from tests.integration.completeness.place import BARS, START_MS, TRADES_COUNT, Place, market


def delete_all_events(broker: str) -> None:
    reader = TopicReader(broker)
    ends = [TopicPartition(*place, high) for place, (_, high) in reader.bounds(LEDGER).items() if high]
    reader.close()
    admin = AdminClient({"bootstrap.servers": broker})
    for answer in admin.delete_records(ends, request_timeout=20.0).values():
        answer.result(20)


def test_events_may_go_and_a_row_of_before_is_repaired(on_sqlite: Place) -> None:
    place, symbol = on_sqlite, on_sqlite.symbol
    records = market(symbol)
    missing = next(one for topic, _, one in records if topic == TRADES and one["trade_id"] == 40)
    records = [record for record in records if record[2] is not missing]
    place.consume(records, bars=BARS, trades=TRADES_COUNT - 1)
    delete_all_events(place.broker)
    code, out, _ = place.command("ledger", "--symbol", symbol)
    assert code == 1
    assert f"lost: {symbol} trades: 1: ids 40" in out
    assert "unknown:" not in out
    minute_ns = (START_MS + 40 * 2_000) // 60_000 * 60_000 * 10**6

    def row() -> list[int]:
        (found,) = (one for one in place.rows("ledger", stream="trades") if one["time_ns"] == minute_ns)
        return [found["expected"], found["stored"], found["backfilled"], found["lost"]]

    assert row() == [30, 29, 0, 1]
    said = [
        ledger(symbol=symbol, kind=kind, first=40, last=40, count=1, event_time_ms=missing["trade_time_ms"])
        for kind in ("expected", "repaired")
    ]
    place.consume(
        [(TRADES, place.key, missing), *((LEDGER, place.key, one) for one in said)],
        bars=BARS,
        trades=TRADES_COUNT,
    )
    assert row() == [30, 30, 1, 0]
    code, found = place.verify()
    assert (code, found["complete"], found["unknown"]) == (0, True, [])
