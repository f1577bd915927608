"""Runs a week of slots under all faults at once, for docs/snapshots.md: `make week`.

In virtual time, which takes some minutes. Ends with 1 if a promise was broken, or if a fault did not occur.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.integration.snapshots.troubles import SYMBOLS, WEEK, Lived, live

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "snapshots.md"
BEGIN: Final = "<!-- week: written by make week -->"
END: Final = "<!-- /week -->"


def result(lived: Lived, seconds: float, at: datetime) -> str:
    """The entry: a line of figures, and one for each broken promise."""
    statuses, answers = lived.statuses, lived.answers
    refused = answers.total() - answers[200]
    runs = lived.runs.total() + lived.kills
    lines = [
        f"Run of {at:%Y-%m-%d %H:%M} UTC: {statuses.total():,} rows of {len(WEEK.slots):,} slots, "
        f"{statuses['complete']:,} complete, {statuses['backfilled']:,} backfilled, "
        f"{statuses['missing']:,} missing; {runs:,} runs, {lived.kills:,} of them "
        f"killed; {refused:,} of {answers.total():,} requests refused; {lived.quarantined:,} rows in "
        f"quarantine; at most {lived.most_weight:,} of weight in a minute; {seconds:.0f} s. Promises: "
        f"**{'BROKEN' if lived.broken else 'kept'}**.",
        *(f"- {line}" for line in lived.broken[:20]),
    ]
    return "\n".join(lines)


def missing_faults(lived: Lived) -> list[str]:
    """Faults that were too rare for the run to prove anything."""
    least = {
        "kills": (lived.kills, 100),
        "refusals": (min(lived.answers[status] for status in (429, 418, 500, 502)), 5),
        "rows": (lived.statuses.total(), len(SYMBOLS) * len(WEEK.slots) - 1),
        "complete rows": (lived.statuses["complete"], 4_000),
        "backfilled rows": (lived.statuses["backfilled"], 500),
        "missing rows": (lived.statuses["missing"], 20),
        "rows in quarantine": (lived.quarantined, 50),
    }
    return [
        f"{number} {what} are not above {above}" for what, (number, above) in least.items() if number <= above
    ]


def with_result(page: str, entry: str) -> str:
    """The page with a new entry."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    return pattern.sub(lambda _: f"{BEGIN}\n{entry}\n{END}", page)


def main() -> int:
    """0 if every promise was kept, 1 if not."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cryptostream-week-") as directory:
        lived = live(WEEK, Path(directory))
    entry = result(lived, time.monotonic() - began_s, datetime.now(UTC))
    idle = missing_faults(lived)
    sys.stdout.write("\n".join([entry, *idle, ""]))
    if not idle:
        PAGE.write_text(with_result(PAGE.read_text(encoding="utf-8"), entry), encoding="utf-8")
    return 1 if lived.broken or idle else 0


if __name__ == "__main__":
    sys.exit(main())
