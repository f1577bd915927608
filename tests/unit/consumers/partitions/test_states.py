"""Of the state topic the latest state of each key counts, and what is no state is put aside."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError

from consumers.enrich.kline_series import KlineSeries, dump_snapshot
from consumers.partitions.states import read_states
from tests.kafka_doubles import clients

TOPIC = "pipeline.indicator-state.1m"


class StateLog:
    """A partition of the state topic, given whole, then its end."""

    def __init__(self, *records: tuple[bytes | None, bytes | None], partition: int = 0) -> None:
        self._given = [StateMessage(offset, *record, partition) for offset, record in enumerate(records)]
        self._given.append(StateMessage(len(records), b"", None, partition, end=True))

    def assign(self, partitions: Any) -> None:
        """All of it is given at once."""

    def consume(self, count: int, timeout: float) -> list[StateMessage]:
        return self._given

    def close(self) -> None:
        """Nothing is open."""


class StateMessage:
    def __init__(
        self, offset: int, key: bytes | None, value: bytes | None, partition: int, *, end: bool = False
    ) -> None:
        self._offset, self._key, self._value, self._end = offset, key, value, end
        self._partition = partition

    def error(self) -> KafkaError | None:
        return KafkaError(KafkaError._PARTITION_EOF) if self._end else None

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value


def snapshot(offset: int, last_open_ms: int) -> bytes:
    series = KlineSeries(b"k", 0, None)
    series.offset, series.last_open_time_ms = offset, last_open_ms
    return dump_snapshot(series, b"state")


def read(*records: tuple[bytes | None, bytes | None]) -> tuple[dict[bytes, bytes], list[tuple[int, str]]]:
    aside: list[tuple[int, str]] = []
    states = read_states(
        {"group.id": "g"},
        TOPIC,
        [0],
        reject=lambda message, reason: aside.append((message.offset() or 0, reason)),
        kafka=clients(consumer=lambda _config: StateLog(*records)),
    )
    return states[0], aside


def test_the_state_with_the_latest_bar_counts_whatever_its_offset() -> None:
    """After a cut the topic counts anew: a later state may name an earlier offset."""
    before, after = snapshot(90, 5_000), snapshot(70, 6_000)
    assert read((b"k", before), (b"k", after)) == ({b"k": after}, [])
    assert read((b"k", after), (b"k", before)) == ({b"k": after}, [])


@pytest.mark.parametrize("garbage", [b"", b"\x00\x01", b"[]\nx", b"1\n", b'{"schema": 1}\nx', b'{"a": 1}'])
def test_what_is_no_state_is_put_aside_and_the_state_before_it_counts(garbage: bytes) -> None:
    good = snapshot(1, 5_000)
    states, aside = read((b"k", good), (b"k", garbage))
    assert states == {b"k": good}
    assert aside == [(1, f"no record of {TOPIC}: no header with schema and offset")]


def test_what_a_later_state_replaces_is_not_put_aside_again() -> None:
    good = snapshot(1, 5_000)
    assert read((b"k", b"garbage"), (b"k", good), (b"x", b"garbage"), (b"x", None)) == ({b"k": good}, [])


def test_a_state_of_another_version_is_no_garbage() -> None:
    assert read((b"k", b'{"schema": 99, "offset": 4}\nx'))[1] == []


def test_a_tombstone_deletes_the_state_before_it_and_that_alone() -> None:
    one, two = snapshot(1, 5_000), snapshot(2, 6_000)
    assert read((b"k", one), (b"x", two), (b"k", None)) == ({b"x": two}, [])
    assert read((b"k", None), (b"k", one)) == ({b"k": one}, [])
    assert read((b"k", one), (b"k", None), (b"k", two)) == ({b"k": two}, [])
    assert read((b"k", None)) == ({}, [])


def test_a_state_older_than_a_deleted_one_counts_again() -> None:
    assert read((b"k", snapshot(9, 9_000)), (b"k", None), (b"k", snapshot(1, 1_000)))[0][b"k"] == snapshot(
        1, 1_000
    )


def test_of_two_states_of_one_bar_the_last_one_counts() -> None:
    first, last = snapshot(1, 5_000), snapshot(2, 5_000)
    assert read((b"k", first), (b"k", last)) == ({b"k": last}, [])


def test_a_record_without_a_key_is_no_series() -> None:
    assert read((None, snapshot(1, 5_000)), (b"k", snapshot(1, 5_000))) == ({b"k": snapshot(1, 5_000)}, [])


def test_without_partitions_nobody_is_asked() -> None:
    assert read_states({"group.id": "g"}, TOPIC, [], kafka=clients()) == {}


def test_what_replaces_what_may_be_decided_by_others_who_check_the_format_themselves() -> None:
    aside: list[Any] = []
    log = StateLog((b"k", b"2"), (b"k", b"1"), (b"x", b"1"), (b"x", b"2"))
    states = read_states(
        {"group.id": "g"},
        TOPIC,
        [0],
        replaces=lambda value, than: value > than,
        reject=lambda *record: aside.append(record),
        kafka=clients(consumer=lambda _config: log),
    )
    assert (states, aside) == ({0: {b"k": b"2", b"x": b"2"}}, [])


def test_the_restore_reads_beside_the_group_and_to_the_end() -> None:
    configs: list[dict[str, Any]] = []

    def consumer(config: dict[str, Any]) -> StateLog:
        configs.append(config)
        return StateLog()

    read_states({"group.id": "g", "client.id": "c"}, TOPIC, [0], kafka=clients(consumer=consumer))
    assert configs == [{"group.id": "g.restore", "client.id": "c", "enable.partition.eof": True}]


def test_states_belong_to_their_partitions() -> None:
    log = StateLog((b"k", snapshot(1, 5_000)), partition=3)
    states = read_states({"group.id": "g"}, TOPIC, [3], kafka=clients(consumer=lambda _config: log))
    assert states == {3: {b"k": snapshot(1, 5_000)}}
