from __future__ import annotations

import pytest

from api.pace import Pace
from consumers.tap.port import LiveRow
from consumers.tap.series import live_kinds

NOW_MS = 1_700_000_000_000
KINDS = live_kinds(("momentum_rsi",))


def pace_of(name: str, *times_ms: int, interval: str = "1m", now_ms: int = NOW_MS) -> Pace:
    kind = KINDS[name]
    pace = Pace(kind, tuple(interval if tag == "interval" else "x" for tag in kind.tags))
    pace.add([LiveRow(time_ms * 1_000_000, (), 0, time_ms) for time_ms in times_ms], now_ms)
    return pace


@pytest.mark.parametrize(
    ("interval", "stale_s"),
    [("1s", 1 + 1 + 2), ("1m", 60 + 60 + 60), ("1h", 3_600 + 3_600 + 60), ("1d", 86_400 + 86_400 + 60)],
)
def test_a_bar_is_stale_when_the_next_is_late(interval: str, stale_s: int) -> None:
    open_ms = NOW_MS - 200_000_000
    pace = pace_of("kline", open_ms, interval=interval)
    assert pace.stale_at(0) == open_ms + stale_s * 1000


@pytest.mark.parametrize("name", ["open_bar", "kline_live", "indicator_live"])
def test_an_open_bar_is_stale_after_six_seconds(name: str) -> None:
    assert pace_of(name, NOW_MS - 500).stale_at(0) == NOW_MS - 500 + 6_000


def test_the_pace_of_trades_is_as_they_came_but_no_shorter_than_a_second() -> None:
    busy = pace_of("trade", *range(NOW_MS - 10_000, NOW_MS, 10))
    assert busy.pace_ms == pytest.approx(1_000)
    calm = pace_of("trade", *range(NOW_MS - 100_000, NOW_MS, 10_000))
    assert calm.pace_ms == 10_000
    assert calm.stale_at(0) == NOW_MS - 10_000 + 30_000


def test_bursts_do_not_make_a_pause_look_long() -> None:
    bursts = [NOW_MS - 60_000 + burst * 20_000 + ms for burst in range(3) for ms in range(100)]
    assert pace_of("trade", *bursts).pace_ms == 20_000


def test_a_summary_has_at_least_the_pace_of_its_windows() -> None:
    assert pace_of("trade_summary", NOW_MS - 2_000, NOW_MS - 1_000).pace_ms == 60_000


def test_a_change_is_never_stale_and_telemetry_after_half_a_minute() -> None:
    assert pace_of("carriage", NOW_MS).stale_at(0) is None
    assert pace_of("instrument", NOW_MS).stale_at(0) is None
    assert pace_of("service", NOW_MS).stale_at(0) == NOW_MS + 30_000
    assert pace_of("ledger", NOW_MS, interval="").stale_at(0) == NOW_MS + 180_000


def test_a_time_ahead_of_our_clock_does_not_hide_that_nothing_comes() -> None:
    assert pace_of("quote", NOW_MS + 86_400_000).newest_ms == NOW_MS


def test_a_series_without_rows_counts_from_the_subscription() -> None:
    assert pace_of("quote").stale_at(NOW_MS) == NOW_MS + 3_000
