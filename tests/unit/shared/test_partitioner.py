from __future__ import annotations

from shared.partitioner import partition_of


def test_partitions_are_those_of_javas_murmur2() -> None:
    # Vectors of Kafka's own UtilsTest.
    signed = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"abc": 479470107,
    }
    for key, value in signed.items():
        assert partition_of(key, 2**31) == value & 0x7FFFFFFF
