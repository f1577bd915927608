"""The ends of topics are read backwards as far as needed, and no further."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError

from producers import topic_ends
from producers.read_back import DISORDER_MS, ReadBack, Windows
from producers.topic_ends import PartitionEnd, TopicEnds
from shared.errors import BrokerError, BrokerUnavailable
from shared.messages import encode
from shared.topics import TRADES, klines_topic
from tests.builders import NOW_MS, kline, trade
from tests.kafka_doubles import LogReader, Logs, clients
from tests.virtual_time import FakeTime

BARS = klines_topic("1m")
MINUTE = 60_000
HOUR = 3_600_000


class Bench:
    """A broker whose topics have one partition each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = FakeTime()
        monkeypatch.setattr("shared.kafka_reader.time", self.time)
        monkeypatch.setattr("producers.topic_ends.time.time_ns", lambda: NOW_MS * 1_000_000)
        self.logs = Logs(time=self.time)
        self.given = 0
        consume = LogReader.consume

        def counted(reader: LogReader, count: int, timeout: float) -> Any:
            found = consume(reader, count, timeout)
            self.given += len(found)
            return found

        monkeypatch.setattr(LogReader, "consume", counted)

    def trades(
        self,
        symbol: str,
        *trades: tuple[int, int],
        source: str = "stream",
        appended_ms: int | None = None,
        exchange: str = "binance",
    ) -> None:
        """(id, ms after NOW_MS) of each; `appended_ms` is after NOW_MS, too."""
        by_broker_ms = None if appended_ms is None else NOW_MS + appended_ms
        for ident, at_ms in trades:
            message = trade(trade_id=ident, trade_time_ms=NOW_MS + at_ms, symbol=symbol, source=source)
            key = f"{exchange}:{symbol}".encode()
            self.logs.put(TRADES, key, encode({**message, "exchange": exchange}), appended_ms=by_broker_ms)

    def bars(self, symbol: str, *numbers: int, **fields: Any) -> None:
        for number in numbers:
            message = kline(open_time_ms=NOW_MS + number * MINUTE, symbol=symbol, **fields)
            self.logs.put(BARS, f"binance:{symbol}".encode(), encode(message))

    def read(self, *topics: str, **begins_ms: int) -> dict[str, ReadBack]:
        begins = {symbol: NOW_MS + at_ms for symbol, at_ms in (begins_ms or {"BTCUSDC": 0}).items()}
        reader = TopicEnds("broker:9092", self.logs.clients())
        found = reader.read_back("binance", Windows(topics or (TRADES, BARS), begins, NOW_MS + HOUR))
        reader.close()
        return found


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def ids(read: ReadBack) -> list[int]:
    return [known.number for known in read.trades]


def opens(read: ReadBack) -> list[int]:
    return [(bar["open_time_ms"] - NOW_MS) // MINUTE for bar in read.bars]


def test_trades_and_bars_of_the_window_are_found(bench: Bench) -> None:
    bench.trades("BTCUSDC", (6, -MINUTE), (7, 0), (8, 10))
    bench.bars("BTCUSDC", -1, 0)
    found = bench.read()["BTCUSDC"]
    assert (ids(found), opens(found)) == ([7, 8], [0])
    assert bench.logs.closed == 1


def test_symbols_of_one_partition_have_each_their_own_window(bench: Bench) -> None:
    for symbol in ("BTCUSDC", "ETHUSDC", "XRPUSDC"):
        bench.trades(symbol, (1, -HOUR), (2, 0), (3, MINUTE))
    found = bench.read(BTCUSDC=0, ETHUSDC=-HOUR)
    assert {symbol: ids(read) for symbol, read in found.items()} == {
        "BTCUSDC": [2, 3],
        "ETHUSDC": [1, 2, 3],
    }


@pytest.mark.thorough
def test_a_window_longer_than_the_first_chunks_is_read_whole_and_each_record_once(bench: Bench) -> None:
    before, within = 9_000, 7_000
    bench.trades("BTCUSDC", *((number, -MINUTE) for number in range(before)))
    bench.trades("BTCUSDC", *((before + number, number) for number in range(within)))
    found = bench.read(TRADES)["BTCUSDC"]
    assert ids(found) == list(range(before, before + within))
    # Chunks of 2,000, 4,000 and 8,000; a batch may go beyond each.
    assert 14_000 <= bench.given < before + within + 2_000


def test_others_show_how_far_back_a_quiet_symbol_is_to_be_read(bench: Bench) -> None:
    bench.trades("ETHUSDC", *((number, -HOUR) for number in range(20_000)))
    bench.trades("ETHUSDC", *((20_000 + number, 0) for number in range(1_000)))
    bench.trades("BTCUSDC", (5, 7))
    assert ids(bench.read(TRADES)["BTCUSDC"]) == [5]
    assert bench.given <= 3_000


def test_a_filled_record_does_not_show_it(bench: Bench) -> None:
    bench.trades("BTCUSDC", (1, -HOUR), (2, 5))
    bench.trades("ETHUSDC", *((number, -HOUR) for number in range(3_000)), source="backfill")
    bench.trades("BTCUSDC", (3, 6))
    assert ids(bench.read(TRADES)["BTCUSDC"]) == [2, 3]


def test_an_old_record_that_was_published_late_does_not_show_it(bench: Bench) -> None:
    """As from a snapshot of an exchange's last trades, a bar that waited for others, or a replayed letter."""
    window = [(number, number) for number in range(3_000)]
    bench.trades("BTCUSDC", *window, appended_ms=0)
    bench.trades("BTC/USD", (1, -HOUR), exchange="kraken", appended_ms=1_000)
    bench.trades("BTCUSDC", *((3_000 + number, 3_000 + number) for number in range(1_950)), appended_ms=5_000)
    assert ids(bench.read(TRADES)["BTCUSDC"]) == list(range(4_950))


def test_a_clock_that_is_ahead_of_the_brokers_leaves_it_to_the_records_times(bench: Bench) -> None:
    bench.trades("BTCUSDC", *((number, -2 * HOUR) for number in range(6_000)), appended_ms=-2 * HOUR)
    bench.trades("BTCUSDC", *((6_000 + number, number) for number in range(10)), appended_ms=-HOUR)
    assert ids(bench.read(TRADES)["BTCUSDC"]) == list(range(6_000, 6_010))
    assert bench.given < 4_000


def test_nothing_is_read_in_the_place_of_what_is_gone(bench: Bench) -> None:
    configs: list[Any] = []

    def consumer(config: Any) -> LogReader:
        configs.append(config)
        return LogReader(bench.logs)

    TopicEnds("broker:9092", clients(consumer=consumer))
    assert configs[0]["auto.offset.reset"] == "latest"


def test_no_more_than_a_bound_is_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_ends, "MOST_RECORDS", 5_000)
    bench.trades("BTCUSDC", *((number, number) for number in range(12_000)))
    assert ids(bench.read(TRADES)["BTCUSDC"]) == list(range(7_000, 12_000))


def test_what_the_broker_has_deleted_is_not_asked_for(bench: Bench) -> None:
    bench.trades("BTCUSDC", *((number, number) for number in range(10)))
    bench.logs.lows[TRADES, 0] = 4
    assert ids(bench.read(TRADES)["BTCUSDC"]) == [4, 5, 6, 7, 8, 9]


def test_records_that_break_their_contract_are_passed_over(bench: Bench) -> None:
    bench.trades("BTCUSDC", (1, 1))
    for value in (b"garbage", None, b"{}"):
        bench.logs.put(TRADES, b"binance:BTCUSDC", value)
    bench.trades("BTCUSDC", (2, 2))
    assert ids(bench.read(TRADES)["BTCUSDC"]) == [1, 2]


def test_topics_without_records_give_nothing(bench: Bench) -> None:
    assert bench.read() == {"BTCUSDC": ReadBack()}


def test_an_end_that_is_lost_while_it_is_read_and_a_fatal_error_are_told(bench: Bench) -> None:
    bench.trades("BTCUSDC", (1, 1))
    bench.logs.errors.append(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(BrokerError, match="Kafka at broker:9092: bars cannot be read back"):
        bench.read(TRADES)
    bench.logs.silent = True
    with pytest.raises(BrokerUnavailable, match=f"has been silent for 30 s while reading {TRADES}"):
        bench.read(TRADES)


def test_chunks_double_and_only_their_first_records_are_looked_at() -> None:
    end = PartitionEnd(0, 50_000, NOW_MS)
    spans = []
    while end.left:
        spans.append((end.start, end.end))
        assert end.looks_at(end.start + 99)
        assert not end.looks_at(end.start + 100)
        end.look(NOW_MS - DISORDER_MS - (1 if end.start == 36_000 else 0), None)
        end.look(None, None)
        end.go_on()
    assert spans == [(48_000, 50_000), (44_000, 48_000), (36_000, 44_000)]
    assert not end.looks_at(36_000)
