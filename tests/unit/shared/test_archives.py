"""What names and times of archives say."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import pytest

from shared.archives import archive_name, end_ms, is_litter, market_of, time_ms


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("BTCUSDT-1h-2024-11.csv", ("BTCUSDT", "1h", "klines")),
        ("BTCUSDT-1mo-2024-11-01.zip", ("BTCUSDT", "1M", "klines")),
        ("BTCUSD_PERP-1m-2023-11.csv.gz", ("BTCUSD_PERP", "1m", "klines")),
        ("币安人生usdt-15m-2025-11.csv", ("币安人生USDT", "15m", "klines")),
        ("1000SATSUSDT-1s-2025.csv", ("1000SATSUSDT", "1s", "klines")),
        ("BTCUSDT-aggTrades-2024-11.zip", ("BTCUSDT", "", "aggTrades")),
        # Names of users' own say nothing.
        ("klines-BTC-2024.csv", None),
        ("my-export-2024-11.csv", None),
        ("BTCUSDT.csv", None),
        ("part-1m.csv", None),
    ],
)
def test_a_name_says_symbol_interval_and_kind(title: str, name: tuple[str, str, str] | None) -> None:
    assert archive_name(title) == name


@pytest.mark.parametrize(
    ("path", "symbol", "market"),
    [
        ("/data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-11.zip", "BTCUSDT", "spot"),
        ("futures/um/daily/klines/BTCUSDT-1h-2024-11.zip", "BTCUSDT", "USD-M futures"),
        (
            "futures/um/daily/markPriceKlines/BTCUSDT-1h-2024-11.zip",
            "BTCUSDT",
            "mark prices of USD-M futures",
        ),
        ("futures/cm/a.zip", "BTCUSD_PERP", "COIN-M futures"),
        ("a.zip", "ETHUSD_231229", "COIN-M futures"),
        ("a.zip", "ETHUSDT_231229", "USD-M futures"),
        ("/home/spot/a.zip", "BTCUSDT", None),
    ],
)
def test_a_market_is_told_by_folder_or_symbol(path: str, symbol: str, market: str | None) -> None:
    assert market_of(PurePath(path), symbol) == market


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        ("1699999200", 1_699_999_200_000),
        ("1699999200000", 1_699_999_200_000),
        (1699999200000000, 1_699_999_200_000),
        ("1699999200000000000", 1_699_999_200_000),
        ("1699999200000.0", 1_699_999_200_000),
    ],
)
def test_the_size_of_a_time_tells_its_unit(value: Any, ms: int) -> None:
    assert time_ms(value) == ms


@pytest.mark.parametrize(
    "value", ["", "x", "-1699999200", "169999920000", "1.7e12", None, True, "１６９９９９９２００"]
)
def test_what_is_no_time_is_none(value: Any) -> None:
    with pytest.raises(ValueError):
        time_ms(value)


@pytest.mark.parametrize("value", ["1700002799", "1700002799999", "1700002799999999", "1700002799999999999"])
def test_a_bar_ends_behind_its_last_instant_in_every_unit(value: str) -> None:
    assert end_ms(value) == 1_700_002_800_000


def test_litter_is_told_from_data() -> None:
    assert not is_litter("BTCUSDT-1h-2024-11.csv")
    assert is_litter("__MACOSX/._BTCUSDT-1h-2024-11.csv") and is_litter("x.CHECKSUM")
