from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumers.tap import reading
from consumers.tap.reading import FIRST_STEP, MAX_BYTES, MAX_RECORDS, newest
from tests.unit.consumers.tap.partitions import FakePartitions

TOPIC, KEY = "market.trades", b"binance:BTCUSDC"
AT = TOPIC, 0


def partition(count: int, every: int, size: int = 1) -> FakePartitions:
    """Records of which each `every`th is of our key."""
    partitions = FakePartitions()
    for number in range(count):
        partitions.add(TOPIC, KEY if number % every == 0 else b"other", [b"x" * size])
    return partitions


@given(st.integers(0, 3_000), st.integers(1, 50), st.integers(0, 500), st.integers(0, 400))
def test_the_records_are_all_of_the_key_from_the_start_on(
    count: int, every: int, low: int, wanted: int
) -> None:
    partitions = partition(count, every)
    low = min(low, count)
    partitions.low[TOPIC] = low
    records, start = newest(partitions, AT, (low, count), KEY, lambda found: len(found) >= wanted)
    assert [record.offset for record in records] == [at for at in range(start, count) if at % every == 0]
    assert len(records) >= wanted or start == low


def test_a_quiet_partition_is_read_in_one_step() -> None:
    partitions = partition(10_000, 2)
    newest(partitions, AT, (0, 10_000), KEY, lambda found: len(found) >= 500)
    assert partitions.reads == [(TOPIC, 10_000 - FIRST_STEP, 10_000)]


def test_a_rare_key_is_not_looked_for_without_end() -> None:
    partitions = partition(MAX_RECORDS + 5_000, 10**9)
    records, start = newest(partitions, AT, (0, MAX_RECORDS + 5_000), KEY, lambda found: len(found) >= 2)
    assert (records, start) == ([], 5_000)


def test_large_records_are_bounded_by_their_bytes() -> None:
    size = 8_192
    count = 3 * MAX_BYTES // size
    partitions = partition(count, 10**9, size)
    newest(partitions, AT, (0, count), KEY, lambda found: len(found) >= 2)
    assert partitions.passed[1] <= MAX_BYTES + reading.FIRST_STEP * size
