"""What a viewer must know of a feed beside its rows: live, filling, stale, away or unsynced, and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from api.pace import Pace
from consumers.tap.port import Condition, LiveRow
from consumers.tap.series import LiveKind

Name = Literal["live", "filling", "stale", "away", "unsynced"]
# Characters of what is told of a state or a hole.
LONGEST_CAUSE: Final = 160
_UNSYNCED: Final = "the order book has missed updates of the exchange; it waits for a new snapshot"


class State(NamedTuple):
    """
    Attributes:
        since_ms: since when, as far as known.
        cause: plain words; "" for live.
    """

    name: Name
    since_ms: int
    cause: str


def filling(since_ms: int) -> State:
    """The rows so far are being read."""
    return State("filling", since_ms, "the rows so far are being read from Kafka")


class Conditions:
    """Whether the sources of series are being read."""

    def __init__(self) -> None:
        self._away: dict[tuple[str, tuple[str, ...] | None], tuple[str, int]] = {}
        self._begun = False

    def note(self, condition: Condition) -> None:
        self._begun = True
        for name in condition.names:
            if condition.away is None:
                self._away.pop((name, condition.tags), None)
                if condition.tags is None:
                    for key in [each for each in self._away if each[0] == name]:
                        del self._away[key]
            else:
                self._away[name, condition.tags] = (condition.away[:LONGEST_CAUSE], condition.since_ms)

    @property
    def unread(self) -> str | None:
        """Why some kind is not read at all; None if each is."""
        if not self._begun:
            return "nothing is read yet"
        return next((cause for (_, tags), (cause, _) in self._away.items() if tags is None), None)

    def away(self, name: str, all_tags: Iterable[tuple[str, ...]]) -> State | None:
        """The state of a feed of these series if one of them is not read."""
        if not self._away:
            return None
        for tags in (None, *all_tags):
            found = self._away.get((name, tags))
            if found is not None:
                return State("away", found[1], found[0])
        return None


def stale(paces: Iterable[Pace], begun_ms: int, now_ms: int) -> State | None:
    """The state of a feed if its liveliest series is stale."""
    known = [pace for pace in paces if pace.newest_ms is not None]
    if not known:
        return None
    pace = max(known, key=lambda each: each.newest_ms or 0)
    at_ms = pace.stale_at(begun_ms)
    if at_ms is None or now_ms <= at_ms:
        return None
    seconds = pace.pace_ms / 1000
    return State("stale", pace.newest_ms or 0, f"nothing newer, though a row is due every {seconds:,.0f} s")


def silent(pace: Pace, begun_ms: int, now_ms: int) -> State | None:
    """The state of a feed from which no row has ever come: who asks for what nobody produces must not see
    it live. None if it has rows, or if their absence says nothing."""
    at_ms = pace.stale_at(begun_ms)
    if pace.newest_ms is not None or at_ms is None:
        return None
    cause = f"no row yet, though one is due every {pace.pace_ms / 1000:,.0f} s"
    if now_ms <= at_ms:
        return State("filling", begun_ms, cause.replace(", though", ";"))
    return State("stale", begun_ms, cause)


class Sync:
    """Whether the book of a series is in step, by its rows' `synced`."""

    def __init__(self, kind: LiveKind) -> None:
        names = [column.name for column in kind.columns]
        self._index = names.index("synced") if "synced" in names else None
        self.state: State | None = None

    def add(self, rows: Iterable[LiveRow]) -> None:
        if self._index is None:
            return
        for row in rows:
            if row.values[self._index] is not False:
                self.state = None
            elif self.state is None:
                self.state = State("unsynced", row.event_ms, _UNSYNCED)
