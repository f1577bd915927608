"""Any interleaving of rows, frames, acknowledgements, disconnections and resumes on two replicas."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from api.client import Client
from api.hub import Activate, Fetch, Hub
from api.limits import Limits
from consumers.tap.port import LiveRow
from tests.live_topics import (
    KINDS,
    KLINE,
    MINUTE_MS,
    OPEN_BAR,
    START_MS,
    TRADE,
    Page,
    Topic,
    answered,
    subscribe,
)

# So small that rings lose rows, snapshots need several frames, and backlogs and memory reach their bounds.
LIMITS: Final = Limits(
    frame_ms=10,
    credits=2,
    trades_per_frame=3,
    backlog_rows=9,
    frame_bytes=560,
    client_bytes=2_600,
    ring_rows=4,
)
FILL: Final = 4
_BY_NUMBER: Final = {1: KLINE, 2: TRADE, 3: OPEN_BAR, 4: KLINE}
_COLUMNS: Final = {4: ["close"]}


def _close(row: LiveRow) -> int:
    close = row.values[1]
    assert isinstance(close, float)
    return int(close)


class Replica:
    """An API process: a hub, and what it has read of each topic."""

    def __init__(self) -> None:
        self.hub = Hub(KINDS, LIMITS)
        self.read: dict[Any, int] = {}
        self.asked: list[Activate | Fetch] = []


class StreamMachine(RuleBasedStateMachine):
    """The page's rows are the topics' at the end; on the way none is lost, doubled or out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = START_MS
        self.topics = {series: Topic(series) for series in (KLINE, TRADE, OPEN_BAR)}
        self.replicas = [Replica(), Replica()]
        self.replica = self.replicas[0]
        self.client: Client | None = None
        self.page = Page()
        self.unanswered: list[int] = []
        self.bars = 0
        self.values = 0
        self.incarnations = 0

    @initialize(bars=st.integers(0, 8), warm=st.booleans())
    def begin(self, bars: int, warm: bool) -> None:
        self.append_bars(bars + 1, again=False)
        if warm:
            self.connect(1, resume=False)
            self.answer_all(1)
            self.disconnect()
        self.connect(0, resume=False)
        if warm:
            self.answer_all(0)
            self.show(3)

    # The market.

    @rule(count=st.integers(1, 6), again=st.booleans())
    def append_bars(self, count: int, again: bool) -> None:
        """New bars, or one that is revised; closes number the records."""
        for _ in range(1 if again else count):
            self.bars += 0 if again and self.bars else 1
            self.values += 1
            self.topics[KLINE].append(START_MS + self.bars * MINUTE_MS, 1.0, float(self.values))

    @rule(count=st.integers(1, 6))
    def append_trades(self, count: int) -> None:
        topic = self.topics[TRADE]
        for _ in range(count):
            number = len(topic.records)
            topic.append(START_MS + number, number, 2.0)

    @rule(count=st.integers(1, 3))
    def update_open_bar(self, count: int) -> None:
        topic = self.topics[OPEN_BAR]
        for _ in range(count):
            topic.append(START_MS, float(len(topic.records)))
            self.read_topics(0)

    @rule(kept=st.integers(1, 3))
    def expire(self, kept: int) -> None:
        topic = self.topics[KLINE]
        topic.low = max(topic.low, len(topic.records) - kept)

    @rule(kept=st.integers(1, 8))
    def make_topic_anew(self, kept: int) -> None:
        """Another incarnation with the newest bars at other offsets; taps notice, and fill again."""
        topic = self.topics[KLINE]
        self.incarnations += 1
        anew = Topic(KLINE, f"{self.incarnations:06x}")
        for row in topic.records[-kept:]:
            anew.append(row.time_ns // 1_000_000, *row.values)
        self.topics[KLINE] = anew
        for replica in self.replicas:
            replica.asked = [
                each for each in replica.asked if each.series != KLINE or isinstance(each, Activate)
            ]
            if KLINE in replica.read:
                replica.read[KLINE] = len(anew.records)
                replica.hub.publish([anew.filled(len(anew.records), FILL)], self.now_ms)

    # The replicas.

    @rule(index=st.integers(0, 1))
    def read_topics(self, index: int) -> None:
        replica = self.replicas[index]
        for series, start in list(replica.read.items()):
            topic = self.topics[series]
            end = len(topic.records)
            replica.hub.publish([topic.arrived(start, end)], self.now_ms)
            replica.read[series] = end

    @rule(index=st.integers(0, 1), which=st.integers(0, 3))
    def answer_one(self, index: int, which: int) -> None:
        replica = self.replicas[index]
        if replica.asked:
            effect = replica.asked.pop(which % len(replica.asked))
            topic = self.topics[effect.series]
            end = replica.read.setdefault(effect.series, len(topic.records))
            replica.hub.publish([answered(effect, topic, end, FILL)], self.now_ms)

    def answer_all(self, index: int) -> None:
        while self.replicas[index].asked:
            self.answer_one(index, 0)

    @rule(ms=st.sampled_from([5, 10, 4_000]))
    def pass_time(self, ms: int) -> None:
        self.now_ms += ms
        for replica in self.replicas:
            replica.hub.turn(self.now_ms)

    # The page.

    @precondition(lambda self: self.client is None)
    @rule(index=st.integers(0, 1), resume=st.booleans())
    def connect(self, index: int, resume: bool) -> None:
        self.replica = self.replicas[index]
        self.client = self.replica.hub.join()
        old, self.page, self.unanswered = self.page, Page(), []
        for number, series in _BY_NUMBER.items():
            more: dict[str, Any] = {"columns": _COLUMNS[number]} if number in _COLUMNS else {}
            held = old.series.get(number)
            if resume and held is not None and held.cursor is not None:
                more["since"] = held.cursor
                self.page.series[number] = held
            self.send(subscribe(series, number, **more))

    @precondition(lambda self: self.client is not None)
    @rule()
    def disconnect(self) -> None:
        assert self.client is not None
        self.replica.hub.leave(self.client, self.now_ms)
        self.client = None

    @precondition(lambda self: self.client is not None)
    @rule()
    def take(self) -> None:
        assert self.client is not None
        under_way = len(self.unanswered)
        frame = self.client.take(self.now_ms)
        while self.client.answers:
            self.page.read(self.client.answers.popleft())
        if frame is not None:
            assert under_way < LIMITS.credits, "a frame without a credit"
            assert len(frame) <= LIMITS.frame_bytes
            self.page.read(frame)
            self.unanswered.append(self.page.frames[-1]["frame"])
        self.check()

    @precondition(lambda self: self.unanswered and self.client is not None)
    @rule()
    def acknowledge(self) -> None:
        self.send(f'{{"ack": {self.unanswered.pop(0)}}}')

    @precondition(lambda self: self.client is not None)
    @rule(frames=st.integers(1, 4))
    def show(self, frames: int) -> None:
        """A page that keeps up."""
        for _ in range(frames):
            while self.unanswered:
                self.acknowledge()
            self.now_ms += LIMITS.frame_ms
            self.take()

    @precondition(lambda self: self.client is not None)
    @rule(index=st.integers(0, 1), bars=st.integers(1, 12), anew=st.booleans())
    def lose_connection(self, index: int, bars: int, anew: bool) -> None:
        """Bars come until the page is back, on this replica or another, and while it is filled."""
        self.disconnect()
        self.append_bars(bars, again=False)
        self.read_topics(0)
        if anew:
            self.make_topic_anew(bars)
        self.connect(index, resume=True)
        self.append_bars(1, again=False)
        self.read_topics(index)
        self.answer_all(index)

    def send(self, message: str) -> None:
        assert self.client is not None
        self.replica.hub.receive(self.client, message, self.now_ms)
        self.replica.asked += [
            each for each in self.replica.hub.effects if isinstance(each, Activate | Fetch)
        ]
        self.replica.hub.effects.clear()

    # The laws.

    @invariant()
    def no_bar_is_doubled_or_missing_between(self) -> None:
        for number in (1, 4):
            held = self.page.series.get(number)
            if held is None or not held.came:
                continue
            values = [int(row[-1]) for row in held.came]
            assert values == sorted(set(values)), f"doubled or out of order: {values}"
            rows = self.topics[KLINE].records
            # Within a snapshot, a bar that came again is there once, as its newest.
            due = {row.time_ns // 1_000_000 for row in rows if values[0] <= _close(row) <= values[-1]}
            assert due <= {row[0] for row in held.came}, "a bar is missing"

    @invariant()
    def memory_is_bounded(self) -> None:
        for replica in self.replicas:
            for client in replica.hub.clients:
                assert client.pending_bytes <= LIMITS.client_bytes

    @invariant()
    def trades_are_in_order_and_once(self) -> None:
        held = self.page.series.get(2)
        if held is not None:
            numbers = [row[1] for row in held.came]
            assert numbers == sorted(set(numbers)), f"doubled or out of order: {numbers}"

    def check(self) -> None:
        self.no_bar_is_doubled_or_missing_between()
        self.trades_are_in_order_and_once()
        self.memory_is_bounded()

    def teardown(self) -> None:
        """All quiet: everything is answered, read and taken."""
        if self.client is None:
            self.connect(0, resume=True)
        for _ in range(25):
            for index in range(2):
                self.answer_all(index)
                self.read_topics(index)
            while self.unanswered:
                self.acknowledge()
            self.pass_time(1_000)
            self.take()
        self.all_is_there()

    def all_is_there(self) -> None:
        trades, open_bar = self.page.series[2], self.page.series[3]
        records = self.topics[KLINE].records
        newest = {row.time_ns // 1_000_000: _close(row) for row in records}
        for number in (1, 4):
            bars = {time_ms: int(row[-1]) for time_ms, row in self.page.series[number].rows.items()}
            assert {
                time_ms: bars[time_ms] for time_ms in bars.keys() & newest.keys()
            }.items() <= newest.items()
            assert not records or max(newest) in bars, "the newest bar is missing"
        numbers = [row[1] for row in trades.came]
        if self.topics[TRADE].records:
            last = len(self.topics[TRADE].records) - 1
            assert numbers and numbers[-1] == last, "the newest trade is missing"
        # What came and what was skipped is all since the first.
        if numbers and not trades.restarts:
            told = len(numbers) + trades.skipped
            assert numbers[-1] - numbers[0] + 1 <= told <= numbers[-1] + 1, "skipped, uncounted"
        if self.topics[OPEN_BAR].records:
            newest_value = float(len(self.topics[OPEN_BAR].records) - 1)
            assert [row[1] for row in open_bar.rows.values()] == [newest_value], "not the newest"
