"""When the ledger is told that trades are held because they are doubtful. Pure."""

from __future__ import annotations

from typing import Final

from producers.effects import LedgerEvent
from shared.messages import CARRIED_AGAIN

# REST has a trade after some seconds; trades that are doubtful for less than this are not reported.
_AFTER_MS: Final = 15_000
_AGAIN_MS: Final = 60_000


class DoubtReport:
    """Reports after a delay, then once a minute, and when it is over."""

    def __init__(self) -> None:
        self._reported_ms: int | None = None

    def report(
        self, since_ms: int | None, now_ms: int, held: int, *, over: bool, ended: bool
    ) -> LedgerEvent | None:
        """The entry that is due now.

        Args:
            since_ms: when the first doubtful trade was received; None: there was none.
            held: number of doubtful trades.
            over: they have been decided.
            ended: no later call follows.
        """
        if since_ms is None:
            return None
        reported_ms, self._reported_ms = self._reported_ms, None
        if over:
            due = reported_ms is not None
        else:
            after_ms = now_ms - (since_ms if reported_ms is None else reported_ms)
            due = ended or after_ms >= (_AFTER_MS if reported_ms is None else _AGAIN_MS)
            self._reported_ms = now_ms if due else reported_ms
        if not due:
            return None
        detail = "trade ids contradict earlier ones, and REST does not confirm either"
        detail += CARRIED_AGAIN if over else f": {held} are held"
        return LedgerEvent("uncarried", since_ms, max(since_ms, now_ms), now_ms, detail)
