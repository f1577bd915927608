"""Of the state topic the latest state of each key counts, and what is no state is put aside."""

from __future__ import annotations

from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError

from consumers.enrich.kline_series import KlineSeries, dump_snapshot
from consumers.partitions.states import read_states

TOPIC = "pipeline.indicator-state.1m"


class StateLog:
    """A partition of the state topic, given whole, then its end."""

    def __init__(self, *records: tuple[bytes, bytes | None]) -> None:
        self._given = [StateMessage(offset, *record) for offset, record in enumerate(records)]
        self._given.append(StateMessage(len(records), b"", None, end=True))

    def assign(self, partitions: Any) -> None:
        """All of it is given at once."""

    def consume(self, count: int, timeout: float) -> list[StateMessage]:
        return self._given

    def close(self) -> None:
        """Nothing is open."""


class StateMessage:
    def __init__(self, offset: int, key: bytes, value: bytes | None, *, end: bool = False) -> None:
        self._offset, self._key, self._value, self._end = offset, key, value, end

    def error(self) -> KafkaError | None:
        return KafkaError(KafkaError._PARTITION_EOF) if self._end else None

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes | None:
        return self._value


def snapshot(offset: int, last_open_ms: int) -> bytes:
    series = KlineSeries(b"k", 0, None)
    series.offset, series.last_open_time_ms = offset, last_open_ms
    return dump_snapshot(series, b"state")


def read(*records: tuple[bytes, bytes | None]) -> tuple[dict[bytes, bytes], list[tuple[int, str]]]:
    aside: list[tuple[int, str]] = []
    states = read_states(
        {"group.id": "g"},
        TOPIC,
        [0],
        lambda _config: cast(Consumer, StateLog(*records)),
        reject=lambda message, reason: aside.append((message.offset() or 0, reason)),
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
