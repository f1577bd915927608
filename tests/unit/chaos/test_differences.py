"""The comparison finds what differs, and names it."""

from __future__ import annotations

import pytest

from chaos.differences import Differences, Kind, compare_bars, compare_trades
from chaos.exchange_log import TradePoint

TRADES = [TradePoint(n, n * 1_000_000 + n, 100.0 + n, 0.5, False) for n in range(5)]
BARS = {n * 60_000: (1.5, None, 0.1 + 0.2) for n in range(4)}
NAMES = ("a", "b", "c")


def counts(differences: Differences) -> dict[tuple[str, Kind], int]:
    return dict(differences.counts)


def test_equal_rows_do_not_differ() -> None:
    assert not compare_trades(TRADES, TRADES, "X")
    assert not compare_bars("kline", BARS, dict(BARS), NAMES, "X")


def test_each_way_in_which_trades_differ_is_found() -> None:
    found = [
        TRADES[0],
        TRADES[0],
        TRADES[1]._replace(price=1.0),
        *TRADES[3:],
        TradePoint(9, 9, 1.0, 1.0, True),
    ]
    differences = compare_trades(TRADES, found, "X")
    assert counts(differences) == {
        ("trade", "twice"): 1,
        ("trade", "different"): 1,
        ("trade", "missing"): 1,
        ("trade", "unknown"): 1,
    }
    assert "trade: 1 missing: X 2" in differences.lines()


@pytest.mark.parametrize(
    "numbers",
    [
        (1.5, None, 0.3),  # the next float to 0.1 + 0.2
        (1.5, 0.0, 0.1 + 0.2),
        (None, None, 0.1 + 0.2),
    ],
)
def test_one_bit_is_a_difference(numbers: tuple[float | None, ...]) -> None:
    differences = compare_bars("indicator", BARS, BARS | {60_000: numbers}, NAMES, "X 1m")
    assert counts(differences) == {("indicator", "different"): 1}
    assert "X 1m 60000" in differences.lines()[0]


def test_the_sign_of_zero_is_a_difference() -> None:
    assert compare_bars("indicator", {0: (0.0,)}, {0: (-0.0,)}, ("a",), "X")


def test_missing_and_unknown_bars_are_told_apart() -> None:
    differences = compare_bars("kline", BARS, {0: BARS[0], 999: BARS[0]}, NAMES, "X")
    assert counts(differences) == {("kline", "missing"): 3, ("kline", "unknown"): 1}


def test_the_first_few_are_named_and_all_are_counted() -> None:
    differences = Differences()
    for n in range(10):
        differences.add("trade", "missing", f"#{n}")
    other = Differences()
    other.add("trade", "missing", "#10", count=5)
    differences.update(other)
    assert differences.lines() == ["trade: 15 missing: #0; #1; #2; …"]
