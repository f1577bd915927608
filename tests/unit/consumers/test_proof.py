"""Whether logs still hold what marks say of them, by the records themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from consumers.marks import Mark, Spot, Trail, crc_of
from consumers.proof import Prover

DATA, STATE, LEDGER = "market.klines.1m", "pipeline.indicator-state.1m", "pipeline.ledger"


class Message:
    def __init__(self, topic: str, offset: int, value: bytes | None) -> None:
        self._topic, self._offset, self._value = topic, offset, value

    def error(self) -> KafkaError | None:
        return KafkaError(KafkaError._PARTITION_EOF) if self._value is None else None

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes | None:
        return self._value


class Logs:
    """One partition of each topic, as bytes by offset; reads the record at an offset, or the next one."""

    def __init__(self, **values: Sequence[bytes | None]) -> None:
        self.values = {DATA: values["data"], STATE: values["state"], LEDGER: values["ledger"]}
        self.low = 0
        self.reads = 0
        self._at: list[TopicPartition] = []

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._at = list(partitions)
        self.reads += len(partitions)

    def unassign(self) -> None:
        self._at = []

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        left = {at.topic for at in partitions}
        self._at = [at for at in self._at if at.topic not in left]

    def consume(self, count: int, timeout: float) -> list[Any]:
        given = [self._next(at) for at in self._at][:count]
        assert given, "nothing would ever come"
        return given

    def _next(self, at: TopicPartition) -> Message:
        values = self.values[at.topic]
        for offset in range(at.offset, len(values)):
            if values[offset] is not None:
                return Message(at.topic, offset, values[offset])
        return Message(at.topic, len(values), None)

    def proved(self, *marks: Mark) -> Mark | None:
        prover = Prover(
            cast(Consumer, self),
            lambda topic, _: (self.low, len(self.values[topic])),
            DATA,
            state_topic=STATE,
            ledger_topic=LEDGER,
        )
        return prover.proved({0: Trail(marks)})[0]


def spot(offset: int, value: bytes) -> Spot:
    return Spot(offset, crc_of(b"k", value))


def mark(position: int, value: bytes, state: Spot | None = None, ledger: Spot | None = None) -> Mark:
    return Mark(position, crc_of(b"k", value), state, ledger)


NEW = mark(4, b"d3", spot(1, b"s1"), spot(2, b"l2"))
OLD = mark(2, b"d1", spot(0, b"s0"), spot(0, b"l0"))
WHOLE: dict[str, Sequence[bytes | None]] = {
    "data": [b"d0", b"d1", b"d2", b"d3", b"d4"],
    "state": [b"s0", b"s1"],
    "ledger": [b"l0", b"l1", b"l2"],
}


def test_the_newest_mark_is_true_where_nothing_is_lost() -> None:
    logs = Logs(**WHOLE)
    assert logs.proved(NEW, OLD) == NEW
    assert logs.reads == 6


@pytest.mark.parametrize(
    "cut",
    [
        {"data": [b"d0", b"d1", b"d2"]},
        {"data": [b"d0", b"d1", b"d2", b"another's", b"another's", b"another's"]},
        {"state": [b"s0"]},
        {"state": [b"s0", b"made since", b"made since"]},
        {"ledger": [b"l0", b"l1"]},
        {"ledger": [b"l0", b"x", b"x", b"x"]},
    ],
)
def test_each_log_that_lost_its_end_makes_us_go_back(cut: dict[str, Sequence[bytes]]) -> None:
    assert Logs(**(WHOLE | cut)).proved(NEW, OLD) == OLD


def test_a_mark_that_was_made_after_the_loss_proves_nothing_before_it() -> None:
    logs = Logs(**(WHOLE | {"ledger": [b"l0", b"l1", b"written since"]}))
    since = mark(5, b"d4", spot(1, b"s1"), spot(2, b"written since"))
    assert logs.proved(since, OLD) == since
    assert logs.proved(since, NEW, OLD) == OLD
    assert logs.proved(since, NEW) is None
    later = mark(6, b"d5", spot(1, b"s1"), spot(2, b"written since"))
    logs = Logs(**(WHOLE | {"data": [*WHOLE["data"], b"d5"], "ledger": [b"l0", b"l1", b"written since"]}))
    assert logs.proved(later, since, NEW, OLD) == OLD


def test_nothing_is_proved_by_nothing() -> None:
    assert Logs(data=[], state=[], ledger=[]).proved(NEW, OLD) is None
    assert Logs(**(WHOLE | {"data": [b"x"] * 9})).proved(NEW, OLD) is None


def test_a_state_that_was_compacted_away_is_not_lost() -> None:
    compacted = {"state": [b"s0", None, b"a later one"]}
    assert Logs(**(WHOLE | compacted)).proved(NEW, OLD) == NEW


def test_what_a_topic_keeps_no_more_is_not_lost() -> None:
    logs = Logs(data=[None] * 5 + [b"d5"], state=[None] * 5 + [b"s5"], ledger=[None] * 5 + [b"l5"])
    logs.low = 5
    assert logs.proved(NEW, OLD) == NEW


def test_a_mark_without_state_and_ledger_is_proved_by_the_record_alone() -> None:
    assert Logs(**WHOLE).proved(mark(3, b"d2")) == mark(3, b"d2")
