"""Series as they are watched: who sees which columns, encoded once for all who see the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import orjson

from api.pace import Pace
from api.pending import Batch, size_of
from api.ring import Ring
from api.states import Conditions, State, Sync, filling, silent, stale
from consumers.tap.port import LiveRow
from consumers.tap.series import LiveKind, LiveSeries
from shared.trade_ids import split

if TYPE_CHECKING:
    from api.subscription import Subscription

# Kinds of which a series is watched with all its tags; of the others any tag may be left out.
SINGLE = frozenset(
    (
        "kline",
        "kline_live",
        "indicator",
        "indicator_live",
        "open_bar",
        "trade",
        "trade_summary",
        "book",
        "levels",
        "quote",
    )
)
Tags = tuple[str | None, ...]


class Watched:
    """A series that the hub knows: its rows, its pace, its book's state."""

    def __init__(self, series: LiveSeries, kind: LiveKind, most: int) -> None:
        self.series = series
        self.ring = Ring(kind, most)
        self.pace = Pace(kind, series.tags)
        self.sync = Sync(kind)

    def note(self, rows: Sequence[LiveRow], now_ms: int) -> None:
        """Rows came: what they say of the feed."""
        self.pace.add(rows, now_ms)
        self.sync.add(rows)


class View:
    """Columns of a feed, for the subscriptions that ask for exactly these."""

    def __init__(self, feed: Feed, columns: tuple[str, ...]) -> None:
        kind = feed.kind
        self.feed = feed
        self.subscriptions: dict[Subscription, None] = {}
        self._left_out = tuple(index for index, tag in enumerate(feed.tags) if tag is None)
        types = {column.name: column.type for column in kind.columns}
        self.columns = ("time_ms", *(kind.tags[index] for index in self._left_out), *columns)
        self.types = ("int", *("string" for _ in self._left_out), *(types[name] for name in columns))
        names = [column.name for column in kind.columns]
        self._trade_id = columns.index("trade_id") if "trade_id" in columns else None
        self._pick = None if list(columns) == names else _picker([names.index(name) for name in columns])

    def fragment(self, tags: tuple[str, ...], row: LiveRow) -> bytes:
        """A row as JSON; NaN and infinities are null. Of a trade's number, the exchange's id."""
        values = row.values if self._pick is None else self._pick(row.values)
        if self._trade_id is not None:
            values = _with_exchange_id(values, self._trade_id)
        return orjson.dumps((row.time_ns // 1_000_000, *self.identity(tags), *values))

    def identity(self, tags: tuple[str, ...]) -> tuple[str, ...]:
        """Of a series among those of the feed."""
        return tuple(tags[index] for index in self._left_out)

    def batch(self, tags: tuple[str, ...], rows: Sequence[LiveRow], end: int, *, past: bool = False) -> Batch:
        """Rows, at least one, encoded; of a kind of which the newest counts, only that."""
        if self.feed.kind.delivery == "latest":
            rows = rows[-1:]
        fragments = tuple(self.fragment(tags, row) for row in rows)
        return Batch(
            fragments,
            tuple(row.offset for row in rows),
            tuple(row.event_ms for row in rows),
            end,
            self.identity(tags),
            size_of(fragments),
            past,
        )


def _with_exchange_id(values: Sequence[Any], at: int) -> Sequence[Any]:
    """The store has the trade's number, others know the exchange's id (as in `api.encode`)."""
    found = list(values)
    found[at] = split(found[at])[1]
    return found


def _picker(indexes: list[int]) -> Any:
    if len(indexes) == 1:
        return lambda values: (values[indexes[0]],)
    return itemgetter(*indexes) if indexes else lambda _: ()


class Feed:
    """What a subscription names: one series, or those of a kind with some tags left out.

    Attributes:
        filled: the rows so far are known.
        exchange: "" if it is of all.
    """

    def __init__(self, kind: LiveKind, tags: Tags, now_ms: int) -> None:
        self.kind = kind
        self.tags = tags
        self.begun_ms = now_ms
        self.filled = False
        self.watched: dict[tuple[str, ...], Watched] = {}
        self.views: dict[tuple[str, ...], View] = {}
        self.state: State = filling(now_ms)
        exchange = tags[kind.tags.index("exchange")] if "exchange" in kind.tags else None
        self.exchange = exchange or ""

    @property
    def single(self) -> Watched | None:
        """The one series; None if the feed is of many, or of none yet."""
        return next(iter(self.watched.values()), None) if None not in self.tags else None

    def has(self, series: LiveSeries) -> bool:
        """Whether a series belongs to it."""
        return series.name == self.kind.name and all(
            tag is None or tag == value for tag, value in zip(self.tags, series.tags, strict=True)
        )

    def view(self, columns: tuple[str, ...]) -> View:
        """The view of these columns, made at first use."""
        found = self.views.get(columns)
        if found is None:
            found = self.views[columns] = View(self, columns)
        return found

    def subscriptions(self) -> Iterator[Subscription]:
        """All of all its views."""
        for view in list(self.views.values()):
            yield from list(view.subscriptions)

    def drop_unused(self) -> bool:
        """Forget views without a subscription; whether none is left."""
        for columns in [columns for columns, view in self.views.items() if not view.subscriptions]:
            del self.views[columns]
        return not self.views

    def current(self, conditions: Conditions, now_ms: int) -> State:
        """Its state by now."""
        away = conditions.away(self.kind.name, self.watched)
        if away is not None:
            return away
        if not self.filled:
            return filling(self.begun_ms)
        if (one := self.single) is not None:
            found = one.sync.state or silent(one.pace, self.begun_ms, now_ms)
        elif not self.watched:
            pace = Pace(self.kind, tuple(tag or "" for tag in self.tags))
            found = silent(pace, self.begun_ms, now_ms)
        else:
            found = None
        if found is not None:
            return found
        found = stale([each.pace for each in self.watched.values()], self.begun_ms, now_ms)
        if found is not None:
            return found
        return self.state if self.state.name == "live" else State("live", now_ms, "")
