"""A day of slots under all troubles at once; `make week` lives through seven (docs/snapshots.md)."""

from __future__ import annotations

from pathlib import Path

from tests.extras import require_snapshot_extras

require_snapshot_extras()

from tests.integration.snapshots.troubles import DAY_OF_ALL, SYMBOLS, live


def test_a_day_of_troubles_ends_with_one_row_per_slot_of_the_status_it_must_have(tmp_path: Path) -> None:
    lived = live(DAY_OF_ALL, tmp_path)
    print(lived)
    assert lived.broken == []
    # The troubles were there: without that the test would say nothing.
    assert lived.statuses.total() == len(SYMBOLS) * len(DAY_OF_ALL.slots)
    assert lived.kills > 15 and min(lived.answers[status] for status in (429, 418, 500, 502)) > 2
    assert lived.statuses["complete"] > 400 and lived.statuses["backfilled"] > 100
    assert lived.statuses["missing"] > 10  # an hour's halt, and one of twenty minutes
    assert lived.quarantined > 8
