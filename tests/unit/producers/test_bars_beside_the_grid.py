"""Bars of a recorded exchange that open beside the grid of their interval."""

from __future__ import annotations

from typing import Any

import pytest

from producers.effects import FillKlines, LedgerEvent, Publish
from producers.halts import Halts
from producers.kline_sequence import KlineSequence
from tests.builders import kline

HOUR_MS = 3_600_000


@pytest.mark.parametrize("back_on_grid", [True, False])
def test_bars_beside_the_grid_go_in_their_order_and_leave_no_loss(back_on_grid: bool) -> None:
    hours = [n * HOUR_MS for n in range(100)]
    opens = [*hours[:40], *(at + 1_694_789 for at in hours[60:70]), *(hours[70:90] if back_on_grid else [])]
    halts = Halts()
    halts.receive_recorded([(hours[40], hours[70] - 1)])
    sequence = KlineSequence("BTCUSDT", "1h", halts)
    effects, now_s = sequence.begin(None, hours[90], 1_000), 0.0
    published: list[int] = []
    said: list[tuple[str, int, int]] = []
    for _ in range(20):
        following: list[Any] = []
        for effect in effects:
            if isinstance(effect, Publish):
                published.append(effect.message["open_time_ms"])
            elif isinstance(effect, FillKlines):
                now_s += max(1.0, effect.delay_s)
                has = [
                    kline(interval="1h", open_time_ms=at, close_time_ms=at + HOUR_MS - 1, source="backfill")
                    for at in opens
                    if effect.first <= at <= effect.last + HOUR_MS
                ]
                following += sequence.receive_rows(effect.first, effect.last, has, now_s)
            else:
                assert isinstance(effect, LedgerEvent)
                said.append((effect.kind, effect.first, effect.last))
        effects = following
    assert published == opens
    assert said == ([("halted", hours[40], hours[69])] if back_on_grid else [])


def test_a_series_that_ended_beside_the_grid_goes_on_upon_it() -> None:
    sequence = KlineSequence("BTCUSDT", "1h", Halts())
    effects = sequence.begin(5 * HOUR_MS + 1_694_789, 9 * HOUR_MS, 1_000)
    (fill,) = [effect for effect in effects if isinstance(effect, FillKlines)]
    assert (fill.first, fill.last) == (6 * HOUR_MS, 8 * HOUR_MS)
