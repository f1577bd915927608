"""Whether the producers have passed on everything the source gave: the decision, from their metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DEADLINE_S: Final = 30.0


class IdleWatch:
    """Idle is: warm, nothing being fetched, and no message more between two reports a second apart.

    Args:
        since_s: when the source fell silent; reports of before say nothing.
        source_silent: False for a live exchange, which never falls silent: only fetches are waited for.
    """

    def __init__(self, since_s: float, *, source_silent: bool) -> None:
        self._since_s = since_s
        self._source_silent = source_silent
        self._last: tuple[float, int] | None = None

    def receive(self, heard_s: float, messages: int, gauges: Mapping[str, float]) -> bool:
        """Take the newest report (again, if none came since) and decide.

        Args:
            heard_s: when it came.
            messages: counted since the producers' start.
            gauges: `pending_fills` and `warm` are looked at.
        """
        if heard_s <= self._since_s:
            return False
        settled = gauges.get("pending_fills", 0) == 0 and gauges.get("warm", 0) == 1
        if not self._source_silent:
            return settled
        before = self._last
        if before is None or heard_s > before[0]:
            self._last = (heard_s, messages)
        return settled and before is not None and heard_s > before[0] and messages == before[1]
