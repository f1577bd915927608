"""What is kept of the progress topic while it is read, and what a start makes of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any
from zlib import crc32

import pytest
from confluent_kafka import KafkaError, Producer

from cryptostream.run.broker import MemoryBroker
from producers.progress import Entered, Progress
from producers.progress_reader import ProgressReader, ProgressRecords, StartState
from producers.start_positions import OpenHole, StartPosition
from producers.stream_health import DEPTH, Entry
from producers.uncarried_spans import UncarriedSpans, spans_series
from shared.errors import BrokerError, BrokerUnavailable
from shared.kafka import producer_config
from shared.messages import encode
from shared.partitioner import partition_of
from shared.topics import LEDGER, PROGRESS, TRADES, klines_topic
from tests.builders import kline, trade
from tests.kafka_doubles import Logs
from tests.virtual_time import FakeTime

SERIES = "binance:BTCUSDC:trades"


class Record:
    """A message of Kafka."""

    def __init__(self, offset: int, value: bytes | None, series: str = SERIES, partition: int = 3) -> None:
        self._offset, self._value, self._series, self._partition = offset, value, series, partition

    def key(self) -> bytes:
        return self._series.encode()

    def value(self) -> bytes | None:
        return self._value

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset


def read(*values: bytes | None) -> ProgressRecords:
    noted = ProgressRecords()
    for offset, value in enumerate(values):
        message: Any = Record(offset, value)
        noted.receive(message, frozenset([SERIES]))
    return noted


def at(last_id: int, holes: int = 0) -> Progress:
    missing = tuple(OpenHole(2 * number, 2 * number, 1_000, 1_100) for number in range(holes))
    return Progress(last_id, "market.trades", 3, last_id, 1_000, 2_000, missing=missing)


def test_candidates_are_the_newest_first() -> None:
    candidates, bad = read(at(1).encode(), at(2).encode()).read()
    assert candidates == {SERIES: [at(2), at(1)]}
    assert not bad


def test_of_records_with_many_holes_the_newest_few_are_kept_and_their_holes_once() -> None:
    written = [at(10_000 + number, holes=4_000).encode() for number in range(20)]
    found = read(*written).read()[0][SERIES]
    assert found[0] == at(10_019, holes=4_000)
    assert [progress.last_id for progress in found] == list(range(10_019, 10_019 - len(found), -1))
    assert sum(len(value) for value in written[-len(found) :]) <= 2 * 2**20
    assert len(found) > 3
    assert len({id(hole) for progress in found for hole in progress.missing}) == 4_000


@pytest.mark.parametrize("partitions", [(3, 5), (5, 3)])
def test_of_a_series_that_has_moved_to_another_partition_the_newest_record_is_first(
    partitions: tuple[int, int],
) -> None:
    """Partitions are read in any order, and a stopped record would be taken at its word."""
    written = {3: replace(at(100), stopped=True, updated_ms=2_000), 5: replace(at(900), updated_ms=9_000)}
    noted = ProgressRecords()
    for partition in partitions:
        message: Any = Record(7, written[partition].encode(), partition=partition)
        noted.receive(message, frozenset([SERIES]))
    assert noted.read() == ({SERIES: [written[5], written[3]]}, [])


def test_what_nobody_can_read_is_bad_until_a_later_record_replaces_it() -> None:
    candidates, bad = read(at(1).encode(), b"garbage").read()
    assert candidates == {SERIES: [at(1)]}
    assert [(each.partition, each.offset, each.value) for each in bad] == [(3, 1, b"garbage")]
    assert read(at(1).encode(), b"garbage", at(2).encode()).read() == ({SERIES: [at(2), at(1)]}, [])


def test_a_record_that_is_deleted_leaves_nothing() -> None:
    assert read(at(1).encode(), b"garbage", None).read() == ({}, [])


# A process of its own, whose memory is that of the reading.
_READING = """
import sys
from producers.progress_reader import ProgressReader
def most_mb():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1_024
reader = ProgressReader(sys.argv[1])
before = most_mb()
found, _ = reader.noted(frozenset(sys.argv[2:]))
print(most_mb() - before, *(found[series][0].last_id for series in sys.argv[2:]))
reader.close()
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="reads a process' memory from /proc")
def test_hundreds_of_records_with_many_holes_do_not_lie_in_memory() -> None:
    broker = MemoryBroker("", ["1m"])
    producer = Producer(producer_config(broker.address, "test", memory_broker=True))
    series = [f"binance:{symbol}:trades" for symbol in ("BTCUSDC", "ETHUSDC", "XRPUSDC", "SOLUSDC")]
    for number in range(80):
        value = at(10_000 + number, holes=4_000).encode()
        for partition, name in enumerate(series):
            producer.produce(PROGRESS, value, name.encode(), partition)
        producer.flush(30)
    said = subprocess.run(
        [sys.executable, "-c", _READING, broker.address, *series],
        capture_output=True,
        check=True,
        timeout=120,
    )
    broker.stop()
    grown_mb, *newest = map(float, said.stdout.split())
    assert newest == [10_079] * 4
    assert grown_mb < 24


@pytest.mark.thorough
def test_a_series_that_was_found_is_found_again_by_the_same_reader() -> None:
    """After each return of the broker one reader asks whether the topics still hold what they held."""
    broker = MemoryBroker("", [])
    try:
        producer = Producer(producer_config(broker.address, "test", memory_broker=True))
        for number in range(5_000):
            producer.produce(TRADES, encode(trade(trade_id=number)), b"binance:BTCUSDC", 3)
            producer.poll(0)
        assert producer.flush(30) == 0
        reached = Progress(10, TRADES, 3, 10, 1_000, 2_000)
        with closing(ProgressReader(broker.address)) as reader:
            assert [reader.contradicted({SERIES: reached}) for _ in range(3)] == [[], [], []]
    finally:
        broker.stop()


# -- the start state, of a broker whose time is the test's


TRADES_OF = "binance:BTCUSDC:trades"
BARS_OF = "binance:BTCUSDC:klines:1m"
BARS = klines_topic("1m")
KEY = b"binance:BTCUSDC"
MINUTE_MS = 60_000
DAY_MS = 86_400_000


class Bench:
    """A broker with the topics of one symbol, and a reader of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = FakeTime()
        for module in ("shared.kafka_reader", "producers.progress_reader"):
            monkeypatch.setattr(f"{module}.time", self.time)
        self.logs = Logs(time=self.time)
        self.reader = ProgressReader("broker:9092", self.logs.clients())

    @property
    def now_ms(self) -> int:
        return self.time.time_ns() // 1_000_000

    def trades(self, *ids: int, source: str = "stream") -> None:
        for ident in ids:
            self.logs.put(TRADES, KEY, encode(trade(trade_id=ident, trade_time_ms=ident, source=source)))

    def bars(self, *opens_ms: int) -> None:
        for open_ms in opens_ms:
            self.logs.put(BARS, KEY, encode(kline(open_time_ms=open_ms)))

    def note(self, series: str, progress: Progress | bytes | None) -> None:
        value = progress.encode() if isinstance(progress, Progress) else progress
        self.logs.put(PROGRESS, series.encode(), value)

    def state(
        self,
        *,
        intervals: Sequence[str] = (),
        warmup_bars: int = 0,
        stored: Mapping[str, StartPosition] | None = None,
        server_time_ms: int | None = None,
    ) -> StartState:
        now_ms = self.now_ms if server_time_ms is None else server_time_ms
        return self.reader.start_state(
            "binance", ("BTCUSDC",), intervals, now_ms, warmup_bars, stored=stored or {}
        )


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def trades_at(last_id: int | None, offset: int, **fields: Any) -> Progress:
    return Progress(last_id, TRADES, 0, offset, fields.pop("event_time_ms", 500), 2_000, **fields)


def bars_at(last_id: int | None, offset: int, event_time_ms: int | None) -> Progress:
    return Progress(last_id, BARS, 0, offset, event_time_ms, 2_000)


def test_what_is_true_needs_no_marker_and_what_lies_behind_it_counts(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.trades(10, 11, 12)
    bench.note(TRADES_OF, trades_at(11, 1))
    state = bench.state()
    assert state.progress == {TRADES_OF: trades_at(11, 1)}
    (position,) = state.start_positions.values()
    assert (position.last_id, [found[:2] for found in position.later]) == (11, [(12, 12)])
    assert (state.markers, state.untrue, state.begun_ms, state.bases) == ({}, [], {}, {})
    assert state.seen == {TRADES_OF: Progress(12, TRADES, 0, 2, 12, bench.now_ms)}
    assert caplog.messages == []


def test_spans_of_streams_are_read_with_the_progress_and_unreadable_ones_deleted(bench: Bench) -> None:
    spans = UncarriedSpans([Entry(DEPTH, 1, 2, "REST knows more")])
    key = spans_series("binance", "BTCUSDC")
    bench.note(key, spans.encode(5))
    state = bench.state()
    assert state.uncarried == {"BTCUSDC": [Entry(DEPTH, 1, 2, "REST knows more")]}
    assert (state.bad, state.untrue) == ((), [])
    bench.note(key, b"garbage")
    state = bench.state()
    assert (state.uncarried, [each.value for each in state.bad], state.untrue) == ({}, [b"garbage"], [key])


def test_a_series_that_was_stopped_is_marked_as_running_again(bench: Bench) -> None:
    bench.trades(10, 11)
    bench.note(TRADES_OF, trades_at(10, 0, stopped=True, after=1))
    state = bench.state()
    assert state.markers == {TRADES_OF: replace(trades_at(10, 0), updated_ms=bench.now_ms)}


def test_an_older_progress_that_is_true_replaces_the_newer_one_which_is_not(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.trades(10, 11, 12)
    bench.note(TRADES_OF, trades_at(10, 0))
    bench.note(TRADES_OF, trades_at(19, 9))
    state = bench.state()
    assert state.progress == {TRADES_OF: trades_at(10, 0)}
    assert state.markers == {TRADES_OF: replace(trades_at(10, 0), updated_ms=bench.now_ms)}
    assert caplog.messages == [
        f"{TRADES_OF}: progress says 19 at offset 9, which the topic does not have; starting from what it has"
        " (all up to 10, some after it)"
    ]


def test_progress_that_nobody_can_read_is_replaced(bench: Bench) -> None:
    bench.trades(10)
    bench.note(TRADES_OF, trades_at(10, 0))
    bench.note(TRADES_OF, b"garbage")
    state = bench.state()
    assert state.markers == {TRADES_OF: replace(trades_at(10, 0), updated_ms=bench.now_ms)}
    assert [(each.key, each.value) for each in state.bad] == [(TRADES_OF.encode(), b"garbage")]


@pytest.mark.parametrize("noted", [trades_at(99, 9), b"garbage"])
def test_progress_that_the_topic_contradicts_is_deleted(bench: Bench, noted: Progress | bytes) -> None:
    bench.trades(10, 11)
    bench.note(TRADES_OF, noted)
    state = bench.state()
    assert (state.untrue, state.markers, state.progress) == ([TRADES_OF], {}, {})
    assert state.start_positions[TRADES_OF].last_id == 9


def test_records_without_any_progress_are_read_and_nothing_is_deleted(bench: Bench) -> None:
    bench.trades(10, 11)
    state = bench.state()
    assert (state.untrue, state.markers, state.begun_ms) == ([], {}, {})
    assert state.start_positions[TRADES_OF].last_id == 9


def test_a_new_series_begins_now(bench: Bench) -> None:
    state = bench.state(intervals=("1m",), server_time_ms=77_000)
    assert state.markers == {
        TRADES_OF: Progress(None, TRADES, 0, 0, 77_000, bench.now_ms),
        BARS_OF: Progress(None, BARS, 0, 0, 77_000, bench.now_ms),
    }
    assert (state.start_positions, state.begun_ms, state.seen) == ({}, {}, {})


def test_of_a_series_that_only_the_store_has_it_goes_on_there_with_bars_to_warm_up(bench: Bench) -> None:
    stored = {TRADES_OF: StartPosition(41, time_ms=5_000), BARS_OF: StartPosition(10 * MINUTE_MS)}
    state = bench.state(intervals=("1m",), warmup_bars=3, stored=stored)
    assert state.start_positions == {TRADES_OF: stored[TRADES_OF], BARS_OF: StartPosition(6 * MINUTE_MS)}
    begun = {series: marker.event_time_ms for series, marker in state.markers.items()}
    assert begun == {TRADES_OF: 5_000, BARS_OF: 10 * MINUTE_MS}


def test_what_kafka_has_noted_of_a_series_goes_before_what_the_store_has(bench: Bench) -> None:
    bench.note(TRADES_OF, trades_at(None, 0, base=40))
    state = bench.state(stored={TRADES_OF: StartPosition(41)})
    assert state.start_positions == {}
    assert (state.bases, state.begun_ms) == ({"BTCUSDC": 40}, {"BTCUSDC": 500})


def test_a_first_subscription_without_records_counts_from_its_time_and_its_lowest_base(bench: Bench) -> None:
    bench.note(TRADES_OF, trades_at(None, 0, event_time_ms=900, base=41))
    bench.note(TRADES_OF, trades_at(None, 0, event_time_ms=700, base=42))
    bench.note(TRADES_OF, trades_at(None, 0, event_time_ms=None))
    state = bench.state()
    assert (state.begun_ms, state.bases) == ({"BTCUSDC": 700}, {"BTCUSDC": 41})


def test_trades_behind_the_marker_of_a_first_subscription_may_lack_their_fill(bench: Bench) -> None:
    bench.note(TRADES_OF, trades_at(None, 0))
    bench.trades(10, 11)
    state = bench.state()
    assert (state.begun_ms, state.start_positions[TRADES_OF].last_id) == ({"BTCUSDC": 500}, 9)
    # Once a later record is noted, the fill is known to be there, or noted as a hole.
    bench.note(TRADES_OF, trades_at(10, 0))
    assert bench.state().begun_ms == {}


def test_bars_behind_the_marker_of_a_first_subscription_are_warmed_up_by_what_is_there(bench: Bench) -> None:
    bench.note(BARS_OF, bars_at(None, 0, 4 * MINUTE_MS))
    bench.bars(5 * MINUTE_MS, 6 * MINUTE_MS)
    state = bench.state(intervals=("1m",), warmup_bars=2)
    assert state.start_positions[BARS_OF].last_id == 4 * MINUTE_MS
    assert state.progress[BARS_OF].last_id is None


@pytest.mark.parametrize(
    ("last_id", "age_ms", "found"),
    [
        (None, DAY_MS - 1, True),
        (None, DAY_MS, False),
        (4 * MINUTE_MS, DAY_MS, True),  # it had records, which are all lost
    ],
)
def test_bars_whose_beginning_is_lost_are_fetched_anew_unless_they_never_began(
    bench: Bench, last_id: int | None, age_ms: int, found: bool
) -> None:
    begun_ms = 100 * MINUTE_MS
    bench.note(BARS_OF, bars_at(last_id, 0, begun_ms))
    state = bench.state(intervals=("1m",), warmup_bars=5, server_time_ms=begun_ms + age_ms)
    expected = {BARS_OF: StartPosition(94 * MINUTE_MS)} if found else {}
    assert state.start_positions == expected
    # The progress of bars that were not delivered is a marker already.
    noted = state.progress if last_id is None else state.markers
    assert (noted[BARS_OF].last_id, noted[BARS_OF].event_time_ms) == (None, begun_ms)


def test_records_of_others_and_broken_ones_on_a_topic_are_passed_over(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.logs.put(TRADES, b"binance:ETHUSDC", encode(trade(trade_id=5)))
    bench.logs.put(TRADES, KEY, b"garbage")
    bench.logs.put(TRADES, KEY, b"{}")
    bench.trades(10)
    assert bench.state().start_positions[TRADES_OF].last_id == 9
    assert caplog.messages == ["start positions: 2 records break their contract and are skipped"]


def test_a_series_that_begins_with_a_repair_begins_with_its_first_record_of_the_stream(bench: Bench) -> None:
    """What was fetched may come before or after; a bar's source says nothing of that."""
    bench.trades(50, source="backfill")
    bench.trades(60)
    bench.bars(5 * MINUTE_MS)
    state = bench.state(intervals=("1m",))
    assert state.start_positions[TRADES_OF].last_id == 59
    assert state.start_positions[BARS_OF].last_id == 4 * MINUTE_MS


def test_a_series_lost_what_it_had_reached_if_its_topic_has_it_no_more(bench: Bench) -> None:
    bench.trades(10, 11, 12)
    there, other, gone = trades_at(12, 2), trades_at(13, 2), trades_at(13, 3)
    assert bench.reader.contradicted({TRADES_OF: there}) == []
    assert bench.reader.contradicted({TRADES_OF: other}) == [TRADES_OF]
    assert bench.reader.contradicted({TRADES_OF: gone}) == [TRADES_OF]
    assert bench.reader.contradicted({TRADES_OF: trades_at(None, 3)}) == []
    assert bench.reader.contradicted({}) == []


def test_the_ledger_lost_an_event_if_its_offset_has_another_one_or_none(bench: Bench) -> None:
    for number in range(3):
        bench.logs.put(LEDGER, KEY, b"event %d" % number)
    there, other = (crc32(value, crc32(KEY)) for value in (b"event 2", b"event 1"))
    assert bench.reader.lost_events({0: Entered(2, there)}) == []
    assert bench.reader.lost_events({0: Entered(2, other)}) == [0]
    assert bench.reader.lost_events({0: Entered(3, there), 2: Entered(0, there)}) == [0, 2]
    assert bench.reader.lost_events({}) == []
    bench.logs.lows[LEDGER, 0] = 3
    assert bench.reader.lost_events({0: Entered(2, there)}) == [], "what has expired was not lost"


def test_a_broker_that_falls_silent_is_named_after_half_a_minute(bench: Bench) -> None:
    bench.trades(10)
    bench.logs.silent = True
    began_s = bench.time.now_s
    with pytest.raises(BrokerUnavailable, match=r"broker:9092 has been silent for 30 s while reading pipe"):
        bench.state()
    assert 30.0 < bench.time.now_s - began_s < 30.5


def test_a_broker_that_refuses_to_be_read_is_named_at_once(bench: Bench) -> None:
    bench.logs.errors.append(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    began_s = bench.time.now_s
    with pytest.raises(BrokerError, match=r"Kafka at broker:9092: start positions cannot be read: "):
        bench.state()
    assert bench.time.now_s == began_s


def test_partitions_are_those_of_the_symbols_key(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.logs.partitions = 6
    (marker,) = bench.state().markers.values()
    assert marker.partition == partition_of(KEY, 6)


@pytest.mark.parametrize(("most", "kept"), [(2, 3), (3, 3), (4, 4)])
def test_as_many_records_are_kept_as_their_number_or_their_bytes_allow(
    monkeypatch: pytest.MonkeyPatch, most: int, kept: int
) -> None:
    one = at(1).encode()
    monkeypatch.setattr("producers.progress_reader._MOST_CANDIDATES", most)
    assert len(read(*[one] * 9).read()[0][SERIES]) == most
    monkeypatch.setattr("producers.progress_reader._MOST_CANDIDATES", 100)
    monkeypatch.setattr("producers.progress_reader._MOST_BYTES", len(one) * kept)
    assert len(read(*[one] * 9).read()[0][SERIES]) == kept


def test_the_newest_record_is_kept_however_long_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.progress_reader._MOST_BYTES", 10)
    assert read(at(1).encode(), at(2).encode()).read()[0][SERIES] == [at(2)]
