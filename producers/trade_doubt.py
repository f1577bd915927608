"""Whether a stream may have withheld trades unseen: then no clock closes built bars. Pure.

A cut, a frame that cannot be read or a jump of a connection's counter may have cost trades. The next higher
id shows how many; without one, REST says that it has none that are newer.
"""

from __future__ import annotations

from typing import Final

from shared.messages import TradeMessage
from shared.trade_ids import number_of

# REST trails the streams by 1–5 s: it is believed about trades that are older.
TRAIL_S: Final = 6.0


class TradeDoubt:
    """The trades of one symbol; in doubt until a first one has come."""

    def __init__(self) -> None:
        self._doubted = True
        self._cut = False  # nothing is read until `reopened`
        self._before: TradeMessage | None = None  # the newest trade received when the doubt was raised
        self._above: int | None = None  # the highest number known then
        self._since_s: float | None = None  # of a monotonic clock
        self._asked = False  # REST, late enough after the newest doubt

    def rise(self, newest: TradeMessage | None, highest: int | None) -> None:
        """Trades may be lost after those that are known.

        Args:
            newest: the one that the stream has brought last.
            highest: number of the highest one that is known to be issued.
        """
        self._doubted, self._before, self._above = True, newest, highest
        self._since_s, self._asked = None, False

    def cut(self, newest: TradeMessage | None, highest: int | None) -> None:
        """No connection brings trades any more; arguments as of `rise`."""
        self.rise(newest, highest)
        self._cut = True

    def reopened(self) -> None:
        """A connection brings trades; what was issued before it did is as unknown as before."""
        self._cut, self._since_s, self._asked = False, None, False

    def holds(self, newest: TradeMessage | None, highest: int | None, now_s: float) -> bool:
        """Whether trades may still be missing unseen; call it once a second.

        Args:
            newest, highest: as of `rise`.
            now_s: of a monotonic clock.
        """
        if self._doubted and newest is not None and newest is not self._before:
            # An id beyond the highest one is held, or was a lie.
            issued = highest is not None and number_of(newest) <= highest
            if issued and self._shows(newest):
                self._doubted = self._cut = False
        if self._doubted and self._since_s is None:
            self._since_s = now_s
        return self._doubted

    def _shows(self, trade: TradeMessage) -> bool:
        """Whether no trade can be missing after it unseen.

        A lower id may be a late one. Trades without a time of their own are those that a subscription begins
        with, up to the newest.
        """
        return self._above is None or trade["event_time_ms"] is None or number_of(trade) > self._above

    def asks(self, now_s: float) -> None:
        """REST is asked now for its newest trade."""
        self._asked = not self._cut and self._since_s is not None and now_s - self._since_s >= TRAIL_S

    def clear(self) -> None:
        """By REST's answer nothing is missing."""
        if self._asked:
            self._doubted = self._asked = False
