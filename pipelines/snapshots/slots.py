"""Slots: the scheduled instants of rows, in ms since the epoch. Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from shared.errors import SettingsError

_MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
_EVERY: Final = re.compile(r"(?:\*|\*/(?P<minutes>[0-9]{1,2})|0) (?P<hours>\*|\*/[0-9]{1,2}) \* \* \*")


def interval_of(cron: str) -> int:
    """Milliseconds between two slots of a schedule.

    Slots are a grid, so only schedules with equally spaced instants, day by day, are allowed.

    Raises:
        SettingsError: another kind of schedule.
    """
    match = _EVERY.fullmatch(" ".join(cron.split()))
    minute = cron.split(maxsplit=1)[0] if match else ""
    hours = match["hours"].removeprefix("*/") if match else ""
    if match and minute != "0" and hours == "*":
        minutes = int(match["minutes"] or 1)
        if minutes and 60 % minutes == 0:
            return minutes * _MINUTE_MS
    elif match and minute == "0":
        count = 1 if hours == "*" else int(hours)
        if count and 24 % count == 0:
            return count * 60 * _MINUTE_MS
    raise SettingsError(
        f'SNAPSHOT_CRON: "{cron}" has no even step; write "*/N * * * *" where N divides 60, '
        '"0 * * * *", or "0 */N * * *" where N divides 24 (UTC)'
    )


def slot_at(time_ms: int, interval_ms: int) -> int:
    """The slot of a time.

    For a scheduled run pass the scheduler's time: runs start early as well as late, and the clock of an early
    one is still in the slot before.
    """
    return time_ms - time_ms % interval_ms


def day_of(slot_ms: int) -> date:
    """The UTC day of a slot, by which files are partitioned."""
    return datetime.fromtimestamp(slot_ms / 1000, UTC).date()


def day_start_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def slots_between(first_ms: int, end_ms: int, interval_ms: int) -> range:
    """Slots from `first_ms` (rounded up to the grid) up to, and without, `end_ms`."""
    return range(first_ms + -first_ms % interval_ms, end_ms, interval_ms)


def file_stem(slot_ms: int) -> str:
    """Name of a slot's file within its day: HHMM."""
    return datetime.fromtimestamp(slot_ms / 1000, UTC).strftime("%H%M")


def slot_of_stem(day: date, stem: str) -> int | None:
    """The slot of a file; None if the name is not a slot's."""
    if len(stem) != 4 or not stem.isdecimal() or int(stem[:2]) > 23 or int(stem[2:]) > 59:
        return None
    return day_start_ms(day) + (int(stem[:2]) * 60 + int(stem[2:])) * _MINUTE_MS


def days_between(first_ms: int, last_ms: int) -> list[date]:
    """The UTC days from one slot's to another's, both included."""
    first, last = day_of(first_ms), day_of(last_ms)
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def slot_text(slot_ms: int) -> str:
    return datetime.fromtimestamp(slot_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
