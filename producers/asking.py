"""How long later bars wait for one that REST does not give. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from producers.missing_ids import SOON_S, MissingRange, delay_s
from shared.messages import KlineMessage

# Two minutes where REST's database has nothing later either, so that it may only trail; where it has, as long
# as it usually trails. Then later bars go on, and the missing one follows when REST has it.
ORDER_DELAYS_S: Final = (*SOON_S, 10.0, 15.0, 30.0, 60.0)
UNANSWERED_S: Final = 3_600.0  # and an hour where REST refuses to answer


class Asking:
    """What REST has answered so far about a page of bars that later ones wait for.

    Attributes:
        asked: how often it was asked and did not give the first bar of the page.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._answers = 0
        self._lacking = 0  # answers that had a later bar: the database has passed this one
        self._since_s: float | None = None

    def answered(self, rows: Sequence[KlineMessage] | None, first: int, now_s: float) -> None:
        """Take an answer that lacks the bar `first`; None if REST refused to answer."""
        self._since_s = now_s if self._since_s is None else self._since_s
        self.asked += 1
        if rows is not None:
            self._answers += 1
            self._lacking += any(row["open_time_ms"] > first for row in rows)

    @property
    def delay_s(self) -> float:
        """Seconds until it is asked again."""
        return ORDER_DELAYS_S[min(self.asked, len(ORDER_DELAYS_S)) - 1] if self.asked else 0.0

    def soon_over(self, now_s: float) -> bool:
        """REST has answered for as long as its database usually trails, or has refused to for long."""
        return self._answers > len(SOON_S) or self.unanswered_for_long(now_s)

    def order_over(self, now_s: float) -> bool:
        """Later bars have waited for long enough."""
        return (
            self._lacking > len(SOON_S)
            or self._answers > len(ORDER_DELAYS_S)
            or self.unanswered_for_long(now_s)
        )

    def unanswered_for_long(self, now_s: float) -> bool:
        return self._since_s is not None and now_s - self._since_s >= UNANSWERED_S

    def continued(self, missing: MissingRange, now_s: float, *, passed: bool) -> MissingRange:
        """The range, asked for as often and as long as the page was.

        Args:
            passed: REST has shown a later bar than these.
        """
        return replace(
            missing,
            asked=self.asked,
            since_s=self._since_s,
            due_s=now_s + delay_s(self.asked),
            lacking=self._lacking if passed else 0,
        )
