"""Trends of the soak, and what they are made from."""

from __future__ import annotations

import os
from collections import defaultdict
from datetime import UTC, datetime

import pytest

from chaos.soak import ProcessUsage, SoakResult, process_usage, soak_page, trend_per_hour


def result(slope_mb_an_hour: float, files: int = 0) -> SoakResult:
    """An hour; the first ten minutes grow fast, whatever the slope is after them."""
    samples = defaultdict(list)
    for second in range(0, 3_600, 10):
        resident_mb = 50 + min(second, 600) + slope_mb_an_hour * max(second - 600, 0) / 3_600
        samples["producer"].append((float(second), ProcessUsage(resident_mb, 12 + files * second // 3_600)))
        samples["kafka"].append((float(second), ProcessUsage(300 + second, 100)))
    return SoakResult(
        datetime(2026, 11, 21, tzinfo=UTC), 20.0, 2, samples, [650.0], seconds=3_600.0, finished=True
    )


def test_the_slope_of_a_line_is_exact() -> None:
    assert trend_per_hour(
        [(float(second), 10 + second / 360) for second in range(0, 600, 10)]
    ) == pytest.approx(10)
    assert trend_per_hour([(0.0, 5.0), (10.0, 5.0)]) == 0.0
    assert trend_per_hour([(0.0, 5.0)]) is None


def test_the_first_ten_minutes_do_not_count_and_the_servers_are_not_checked() -> None:
    assert result(2.0).broken() == []
    assert result(2.0).trend("producer") == pytest.approx(2.0)


def test_memory_and_files_that_grow_break_the_promise() -> None:
    assert result(12.0).broken() == ["producer grows by 12.0 MB an hour"]
    assert result(0.0, files=20).broken() == ["producer has 16 more open files than at the start"]


def test_the_page_tells_a_run_that_goes_on_from_one_that_is_over() -> None:
    page = soak_page(result(12.0))
    assert "promises: **BROKEN**" in page
    assert "| producer | 50.0 |" in page
    running = result(2.0)
    running.finished = False
    assert "promises: **still running**" in soak_page(running)


def test_what_this_process_holds_is_read() -> None:
    usage = process_usage(os.getpid())
    assert usage is not None
    assert usage.resident_mb > 5
    assert usage.open_files >= 3
    assert process_usage(2**22 + 1) is None
