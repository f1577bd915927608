"""Bugs that the simulation has to find: each a small change of one named function, made after the imports.

They prove that the checks, the disturbances and the number of seeds suffice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.simulation.planted import consumers, producers

BUGS: Final[Mapping[str, Callable[[], None]]] = {
    "repair-off": producers.repair_off,
    "dedupe-off": producers.dedupe_off,
    "holes-from-a-stale-copy": producers.holes_from_a_stale_copy,
    "progress-from-a-stale-copy": producers.progress_from_a_stale_copy,
    "expired-slot-kept": producers.expired_slot_kept,
    "rollover-drops-a-frame": producers.rollover_drops_a_frame,
    "commit-before-acknowledgement": consumers.commit_before_acknowledgement,
    "state-one-bar-behind": consumers.state_one_bar_behind,
    "watermark-off-by-one": consumers.watermark_off_by_one,
    "ledger-adds": consumers.ledger_adds,
}
# None of the first thousand seeds meets them: a bar has to be wrong shortly before a kill or a power cut.
SELDOM_MET: Final[Mapping[str, Callable[[], None]]] = {
    "nothing-read-back": producers.nothing_read_back,
}


def plant(name: str) -> None:
    """Change the product in this process."""
    {**BUGS, **SELDOM_MET}[name]()
