"""Kraken's checksum by its worked vectors (COINBASE_KRAKEN.md §4.4)."""

from __future__ import annotations

from producers.exchanges.kraken.checksum import checksum

ASKS = [["0.05121", "250.00000000"], ["0.05130", "12.50000000"], ["0.05200", "0.00400000"]]
BIDS = [["0.05118", "100.00000000"], ["0.05100", "3.25000000"], ["0.04999", "75.10000000"]]


def test_the_reference_vector() -> None:
    assert checksum(BIDS, ASKS) == 1376268028
    # The other order of the sides is another number.
    assert checksum(ASKS, BIDS) == 1914477104


def test_trailing_zeros_count() -> None:
    assert checksum([["0.0512", "1"]], []) != checksum([["0.05120", "1"]], [])


def test_levels_beyond_the_tenth_do_not() -> None:
    levels = [[f"{100 + n}.0", "1.00000000"] for n in range(12)]
    assert checksum(levels, levels) == checksum(levels[:10], levels[:11])


def test_an_empty_book_has_one_too() -> None:
    assert checksum([], []) == 0
