from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from pipelines.snapshots.landing.learned import load_bounds, save_bounds
from pipelines.snapshots.landing.local import LocalLanding
from pipelines.snapshots.quality.bounds import Bounds


def test_what_a_day_has_taught_is_used_until_a_later_one(tmp_path: Path) -> None:
    place = LocalLanding(tmp_path)
    assert load_bounds(place)[1] == {}
    save_bounds(place, date(2026, 8, 3), {"BTCUSDT": Bounds(1.0, 0.1)})
    save_bounds(place, date(2026, 8, 2), {"BTCUSDT": Bounds(9.0, 0.9)})
    assert load_bounds(place)[1] == {"BTCUSDT": Bounds(1.0, 0.1)}
    save_bounds(place, date(2026, 8, 4), {"ETHUSDT": Bounds(2.0, 0.2)})
    assert load_bounds(place)[1] == {"ETHUSDT": Bounds(2.0, 0.2)}


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"day": 1, "bounds": {"A": [1]}}', b'{"bounds": {"A": ["x", 1]}}']
)
def test_what_cannot_be_read_is_learned_again(tmp_path: Path, content: bytes) -> None:
    place = LocalLanding(tmp_path)
    place.write("_learned/exchange=binance/bounds.json", content, None)
    assert load_bounds(place)[1] == {}
    save_bounds(place, date(2026, 8, 4), {"ETHUSDT": Bounds(2.0, 0.2)})
    assert load_bounds(place)[1] == {"ETHUSDT": Bounds(2.0, 0.2)}
