from __future__ import annotations

import pytest

from pipelines.snapshots.quality.bounds import Bounds, last_prices, learn
from tests.snapshot_builders import FIVE_MINUTES, SLOT, row


def day(prices: list[float], spreads: list[float]) -> list[object]:
    return [
        row(SLOT + place * FIVE_MINUTES, last_price=str(price), spread_percent=str(spread))
        for place, (price, spread) in enumerate(zip(prices, spreads, strict=True))
    ]


def test_before_anything_is_learned_bounds_are_wide() -> None:
    rows = day([100.0] * 10, [0.1] * 10)
    assert learn(rows, FIVE_MINUTES) == {"BTCUSDT": Bounds()}  # type: ignore[arg-type]


def test_a_quiet_day_narrows_the_bounds_down_to_a_floor() -> None:
    rows = day([100.0 + place % 2 * 0.01 for place in range(100)], [0.01] * 100)
    learned = learn(rows, FIVE_MINUTES)["BTCUSDT"]  # type: ignore[arg-type]
    assert (learned.spread_percent, learned.jump) == (0.5, 0.02)


def test_a_wild_day_widens_them_and_one_outlier_does_not() -> None:
    wild = day(
        [100.0 + place * place % 23 for place in range(100)], [1.0 + place % 3 for place in range(100)]
    )
    learned = learn(wild, FIVE_MINUTES)["BTCUSDT"]  # type: ignore[arg-type]
    assert learned.jump > 0.1 and learned.spread_percent == pytest.approx(22.0)
    spike = day([100.0] * 50 + [200.0] + [100.0] * 49, [0.01] * 100)
    assert learn(spike, FIVE_MINUTES)["BTCUSDT"].jump == 0.02  # type: ignore[arg-type]


def test_the_newest_price_counts_whoever_gave_it() -> None:
    rows = [
        row(SLOT, last_price="1"),
        row(SLOT + FIVE_MINUTES, "backfilled", last_price="2"),
        row(SLOT + 2 * FIVE_MINUTES, "missing"),
    ]
    assert last_prices(rows) == {"BTCUSDT": (SLOT + FIVE_MINUTES, 2.0)}
