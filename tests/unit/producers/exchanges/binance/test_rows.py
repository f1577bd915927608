"""Rows of REST beside the grid: of a recorded exchange alone."""

from __future__ import annotations

import pytest

from producers.exchanges.binance.rows import interval_of_row, kline_of_row
from shared.errors import InvalidMessage

HOUR_MS = 3_600_000
BESIDE_MS = 60 * HOUR_MS + 1_694_789
SPANS = ((50 * HOUR_MS, 70 * HOUR_MS - 1),)


def row(open_ms: int, close_ms: int) -> list[object]:
    return [open_ms, "1", "3", "0.5", "2", "10", close_ms, "20", 5, "4", "8", "0"]


def test_a_recorded_exchange_may_have_bars_beside_the_grid() -> None:
    bar = kline_of_row("BTCUSDT", "1h", row(BESIDE_MS, BESIDE_MS + HOUR_MS - 1), 0, SPANS)
    assert (bar["open_time_ms"], bar["close_time_ms"]) == (BESIDE_MS, BESIDE_MS + HOUR_MS - 1)


@pytest.mark.parametrize(
    ("open_ms", "close_ms", "spans"),
    [
        (BESIDE_MS, BESIDE_MS + HOUR_MS - 1, ()),  # the real one
        (BESIDE_MS, BESIDE_MS + HOUR_MS - 1, ((0, 60 * HOUR_MS),)),
        (BESIDE_MS, BESIDE_MS + HOUR_MS, SPANS),  # longer than a bar
        (BESIDE_MS, BESIDE_MS, SPANS),
    ],
)
def test_any_other_bar_beside_the_grid_is_none(
    open_ms: int, close_ms: int, spans: tuple[tuple[int, int], ...]
) -> None:
    with pytest.raises(InvalidMessage, match="a multiple of 1h"):
        kline_of_row("BTCUSDT", "1h", row(open_ms, close_ms), 0, spans)


def test_a_bars_own_times_tell_its_interval() -> None:
    assert interval_of_row(row(0, HOUR_MS - 1)) == "1h"


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(row(0, HOUR_MS - 1)[:6], id="cut before its close time"),
        pytest.param(["0", *row(0, HOUR_MS - 1)[1:]], id="its open time is no number"),
        pytest.param(row(0, 17), id="no interval is so long"),
        pytest.param({"0": 0}, id="no row"),
    ],
)
def test_a_row_whose_times_tell_no_interval_is_refused(found: object) -> None:
    with pytest.raises(InvalidMessage, match="a bar whose close time tells its interval"):
        interval_of_row(found)
