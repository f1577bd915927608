"""Missing trades over REST, page by page, with the proof that nothing lies between the pages. Pure.

Each request overlaps the page before it by one trade, which must come again with the same content: then no
trade is left out between the two. Trades that we hold must come as we hold them: then REST counts as the
stream does. What is not proven stays missing, with the reason.

Exchanges differ in how pages are asked for (since a time, within a time, before an id), and in what a
missing id means: see `Rules`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from producers.exchanges.values import scaled
from shared.id_ranges import IdRanges
from shared.messages import TradeMessage

# A hole of one request has 1,000 ids, which are a few pages of the smallest size.
MOST_PAGES: Final = 64
# REST rounds times that the stream cuts off.
ROUNDED_MS: Final = 1
_SECOND: Final = 1_000


class Rules(NamedTuple):
    """What an exchange's pages prove.

    Attributes:
        page: rows of a full page; one with fewer has all there are.
        absent_was_never_issued: ids are consecutive as far as they were issued, so that an id that whole
            pages leave out belongs to no trade. Otherwise it contradicts, and proves nothing.
        needs_neighbours: it is not stated that REST counts as the stream does: held trades on both sides of
            the hole must prove it each time.
    """

    page: int
    absent_was_never_issued: bool
    needs_neighbours: bool


KRAKEN: Final = Rules(page=1_000, absent_was_never_issued=True, needs_neighbours=False)
COINBASE: Final = Rules(page=1_000, absent_was_never_issued=False, needs_neighbours=True)


class Since(NamedTuple):
    """Ask for the oldest trades after a time, nanoseconds since the epoch."""

    since_ns: int


class Within(NamedTuple):
    """Ask for the newest trades between two times, seconds since the epoch, both inclusive."""

    start_s: int
    end_s: int


class Before(NamedTuple):
    """Ask for the newest trades with ids below this one."""

    trade_id: int


class Repair(NamedTuple):
    """What the pages have shown about the ids asked for; each is in one of the three.

    Attributes:
        trades: those found, by id.
        never: ids that were never issued, as ranges.
        unproved: ids of which nothing is known, as ranges.
        reason: why; "" if none is unproved.
    """

    trades: list[TradeMessage]
    never: list[tuple[int, int]]
    unproved: list[tuple[int, int]]
    reason: str


class TradePages:
    """The pages of one hole; a subclass says how the next one is asked for.

    Args:
        first, last: the missing ids, both inclusive.
        held: trades beside the hole, as the stream gave them.
        marks: by id, times of trades before the hole whose contents are no longer known, such as the newest
            one before a restart: the same id at the same time proves the numbering below it.
    """

    def __init__(
        self,
        first: int,
        last: int,
        held: Iterable[TradeMessage],
        rules: Rules,
        marks: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        self.first, self.last = first, last
        self._held = {trade["trade_id"]: trade for trade in held}
        self._marks = marks
        self._rules = rules
        self._found: dict[int, TradeMessage] = {}  # one chain of pages that overlap
        self._lowest = self._highest = 0
        self._pages = 0
        self._done = False
        self._reason = ""

    @property
    def done(self) -> bool:
        """No further page is wanted."""
        return self._done

    def found(self, trade_id: int) -> TradeMessage | None:
        """A trade of the pages."""
        return self._found.get(trade_id)

    def repair(self, beside: TradeMessage | None = None) -> Repair:
        """What is known so far; final once `done`.

        Args:
            beside: the last trade asked for, as the stream's own numbering has it, if nothing above is held.
        """
        if beside is not None:
            self._held[beside["trade_id"]] = beside
        doubt = self._contradiction() or self._unproved_numbering()
        if doubt:
            return Repair([], [], [(self.first, self.last)], doubt)
        trades = [self._found[each] for each in sorted(self._found) if self.first <= each <= self.last]
        missing = IdRanges([(self.first, self.last)])
        for trade in trades:
            missing.remove(trade["trade_id"], trade["trade_id"])
        absent = list(missing.within(self._lowest, self._highest)) if self._found else []
        unproved = IdRanges(missing)
        never = self._never_among(absent) if self._rules.absent_was_never_issued else []
        for first, last in never:
            unproved.remove(first, last)
        reason = self._reason
        if unproved and not reason:
            reason = (
                "ids are absent though pages are whole"
                if len(never) < len(absent)
                else "the exchange's pages do not reach them"
            )
        return Repair(trades, never, list(unproved), reason if unproved else "")

    def _never_among(self, absent: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those of the absent ids that no further page could have."""
        return absent

    def _contradiction(self) -> str:
        for trade_id, held in self._held.items():
            found = self._found.get(trade_id)
            if found is not None and not same_trade(held, found):
                return f"trade {trade_id} is another one over REST than on the stream"
        return ""

    def _unproved_numbering(self) -> str:
        if not self._rules.needs_neighbours:
            return ""
        proven = [trade_id for trade_id in self._held if trade_id in self._found]
        marked = (trade_id for trade_id, time_ms in self._marks.items() if self._is_at(trade_id, time_ms))
        if not any(trade_id < self.first for trade_id in (*proven, *marked)):
            return f"no trade below {self.first} that we hold proves that REST counts as the stream does"
        if not any(trade_id >= self.last for trade_id in proven):
            return f"no trade above {self.last} that we hold proves that REST counts as the stream does"
        return ""

    def _is_at(self, trade_id: int, time_ms: int) -> bool:
        found = self._found.get(trade_id)
        return found is not None and abs(found["trade_time_ms"] - time_ms) <= ROUNDED_MS

    def _take(self, rows: Sequence[TradeMessage], edge: int | None) -> bool:
        """Add a page to the chain; whether it belongs there.

        Args:
            edge: id of the trade of the chain that this page must have again; None for the first page.
        """
        self._pages += 1
        page = {row["trade_id"]: row for row in rows}
        if edge is not None and (edge not in page or not same_trade(page[edge], self._found[edge])):
            return self._stop(f"a page does not overlap the one before it, which ends with trade {edge}")
        for trade_id in page.keys() & self._found.keys():
            if not same_trade(page[trade_id], self._found[trade_id]):
                return self._stop(f"trade {trade_id} differs from page to page")
        self._found |= page
        if self._found:
            self._lowest, self._highest = min(self._found), max(self._found)
        return True

    def _stop(self, reason: str) -> bool:
        self._done, self._reason = True, reason
        return False

    def _go_on(self) -> None:
        if self._pages >= MOST_PAGES:
            self._stop(f"not reached within {MOST_PAGES} pages")


class WithinPages(TradePages):
    """Pages of a span of time, the newest trades first, each ending where the one before began (Coinbase).

    Args:
        before_ms, after_ms: times of the trades beside the hole.
    """

    def __init__(
        self,
        first: int,
        last: int,
        held: Iterable[TradeMessage],
        *,
        before_ms: int,
        after_ms: int,
        rules: Rules = COINBASE,
    ) -> None:
        super().__init__(first, last, held, rules)
        # Whole seconds around both neighbours.
        self._start_s = max(0, before_ms // _SECOND - 1)
        self._end_s = after_ms // _SECOND + 1

    def request(self) -> Within:
        """The page that is wanted; only while not `done`."""
        return Within(self._start_s, self._end_s)

    def receive(self, rows: Sequence[TradeMessage]) -> None:
        """Take the page that was asked for."""
        edge = self._lowest if self._found else None
        if not self._take(rows, edge):
            return
        if len(rows) < self._rules.page or (self._found and self._lowest < self.first):
            self._done = True
            return
        oldest_ms = min(row["trade_time_ms"] for row in rows)
        end_s = oldest_ms // _SECOND + 1
        if end_s >= self._end_s and self._lowest == edge:
            self._stop(f"more than {self._rules.page:,} trades within a second")
            return
        self._end_s = min(end_s, self._end_s)
        self._go_on()


class BeforePages(TradePages):
    """Pages that go down by id from above the hole (Coinbase's other REST interface)."""

    def __init__(
        self,
        first: int,
        last: int,
        held: Iterable[TradeMessage],
        *,
        rules: Rules = COINBASE,
        marks: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        super().__init__(first, last, held, rules, marks)
        # The trade after the hole comes too.
        self._before_id = last + 2

    def request(self) -> Before:
        """The page that is wanted; only while not `done`."""
        return Before(self._before_id)

    def receive(self, rows: Sequence[TradeMessage]) -> None:
        """Take the page that was asked for."""
        edge = self._lowest if self._found else None
        if not self._take(rows, edge):
            return
        if not rows or (self._found and self._lowest < self.first):
            self._done = True
        elif self._lowest == edge:
            # Only the trade that was asked for again: there is none before it.
            self._done = True
        else:
            self._before_id = self._lowest + 1
            self._go_on()


def same_trade(one: TradeMessage, other: TradeMessage) -> bool:
    """Whether two records are of one trade: price, quantity, aggressor and time, as numbers."""
    return (
        one["trade_id"] == other["trade_id"]
        and one["buyer_is_maker"] == other["buyer_is_maker"]
        and abs(one["trade_time_ms"] - other["trade_time_ms"]) <= ROUNDED_MS
        and scaled(one["price"]) == scaled(other["price"])
        and scaled(one["quantity"]) == scaled(other["quantity"])
    )
