from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.snapshots.slots import (
    day_of,
    day_start_ms,
    days_between,
    file_stem,
    interval_of,
    slot_at,
    slot_of_stem,
    slots_between,
)
from shared.errors import SettingsError
from tests.snapshot_builders import FIVE_MINUTES, SLOT


@pytest.mark.parametrize(
    ("cron", "minutes"),
    [("*/5 * * * *", 5), ("* * * * *", 1), ("*/15 * * * *", 15), ("0 * * * *", 60), ("0 */6 * * *", 360)],
)
def test_an_even_schedule_gives_its_interval(cron: str, minutes: int) -> None:
    assert interval_of(cron) == minutes * 60_000


@pytest.mark.parametrize(
    "cron",
    ["*/7 * * * *", "*/0 * * * *", "5 * * * *", "0 */5 * * *", "*/5 9-17 * * *", "* * * * * *", "", "five"],
)
def test_a_schedule_without_an_even_step_is_refused_with_the_way_out(cron: str) -> None:
    with pytest.raises(SettingsError, match=r"^SNAPSHOT_CRON: .*no even step; write"):
        interval_of(cron)


def test_a_run_that_starts_early_has_the_slot_of_its_scheduled_time() -> None:
    assert slot_at(SLOT, FIVE_MINUTES) == SLOT
    assert slot_at(SLOT - 1, FIVE_MINUTES) == SLOT - FIVE_MINUTES


@given(st.integers(0, 4_000_000_000_000))
def test_a_slot_and_its_file_name_are_the_same_thing(time_ms: int) -> None:
    slot = slot_at(time_ms, 60_000)
    assert slot_of_stem(day_of(slot), file_stem(slot)) == slot


@pytest.mark.parametrize("stem", ["day", "2460", "9", "14255", "12x4", "2400"])
def test_other_names_are_no_slots(stem: str) -> None:
    assert slot_of_stem(date(2026, 8, 3), stem) is None


def test_slots_and_days_between() -> None:
    assert list(slots_between(SLOT + 1, SLOT + 2 * FIVE_MINUTES + 1, FIVE_MINUTES)) == [
        SLOT + FIVE_MINUTES,
        SLOT + 2 * FIVE_MINUTES,
    ]
    start = day_start_ms(date(2026, 8, 3))
    assert days_between(start, start + 86_400_000) == [date(2026, 8, 3), date(2026, 8, 4)]
