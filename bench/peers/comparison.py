"""What a side has shown, beside what the simulated exchange issued. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

Side = tuple[tuple[Decimal, Decimal], ...]
Top = tuple[Side, Side]


@dataclass(frozen=True, slots=True)
class Span:
    """World times, of which a side is compared: after the start, before the end."""

    begin_ms: int
    end_ms: int

    def __contains__(self, time_ms: int) -> bool:
        return self.begin_ms <= time_ms < self.end_ms


@dataclass(frozen=True, slots=True)
class Issued:
    """A trade as the exchange issued it; `side` is the taker's."""

    side: str
    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class TradesComparison:
    """
    Attributes:
        due: issued within the span.
        missing: of them, never shown.
        repeated: of them, how many times more than once they were shown.
        wrong_side: of them, shown as bought where the taker sold, or the other way.
        wrong_value: of them, shown with another price or quantity.
        unknown: shown with an id that was never issued.
    """

    due: int
    missing: int
    repeated: int
    wrong_side: int
    wrong_value: int
    unknown: int


@dataclass(frozen=True, slots=True)
class BooksComparison:
    """
    Attributes:
        due: moments of the span at which the exchange's book changed.
        right: of them, shown as they were.
        shown: books shown of the span.
        wrong: of them, other than the exchange's at their time.
        undated: shown without the exchange's time; they cannot be compared.
    """

    due: int
    right: int
    shown: int
    wrong: int
    undated: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    Attributes:
        told: errors that reached the user, by their first word.
    """

    trades: TradesComparison
    books: BooksComparison
    told: Mapping[str, int]

    def json(self) -> dict[str, Any]:
        return asdict(self)


class Truth:
    """What an exchange issued.

    Args:
        trades: by symbol and id; all of the market, within the span and beside it.
        due: by symbol, ids of the trades of the span.
        top: the best ten bids and asks of a symbol at a time.
        changes_ms: by symbol, times of the span at which the top had changed.
    """

    def __init__(
        self,
        trades: Mapping[tuple[str, str], Issued],
        due: Mapping[str, Sequence[str]],
        top: Callable[[str, int], Top],
        changes_ms: Mapping[str, Sequence[int]],
    ) -> None:
        self.trades = trades
        self.due = due
        self.top = top
        self.changes_ms = changes_ms


def compared(lines: Iterable[Sequence[Any]], truth: Truth, span: Span) -> Comparison:
    """The comparison of what a side's user was shown, in the form of `bench.peers.clients.lines`."""
    trades: list[Sequence[Any]] = []
    books: list[Sequence[Any]] = []
    told: Counter[str] = Counter()
    for kind, *values in lines:
        match kind:
            case "trade":
                trades.append(values)
            case "book":
                books.append(values)
            case _:
                told[str(values[1]).split(":", 1)[0]] += 1
    return Comparison(_trades(trades, truth), _books(books, truth, span), dict(told))


def _trades(shown: Iterable[Sequence[Any]], truth: Truth) -> TradesComparison:
    times: Counter[tuple[str, str]] = Counter()
    due = {(symbol, trade_id) for symbol, ids in truth.due.items() for trade_id in ids}
    wrong_side: set[tuple[str, str]] = set()
    wrong_value: set[tuple[str, str]] = set()
    unknown = 0
    for symbol, trade_id, side, price, quantity in shown:
        key = (symbol, trade_id)
        issued = truth.trades.get(key)
        if issued is None:
            unknown += 1
            continue
        if key not in due:
            continue
        times[key] += 1
        if side != issued.side:
            wrong_side.add(key)
        if (Decimal(price), Decimal(quantity)) != (issued.price, issued.quantity):
            wrong_value.add(key)
    return TradesComparison(
        due=len(due),
        missing=len(due - times.keys()),
        repeated=sum(count - 1 for count in times.values()),
        wrong_side=len(wrong_side),
        wrong_value=len(wrong_value),
        unknown=unknown,
    )


def _books(shown: Iterable[Sequence[Any]], truth: Truth, span: Span) -> BooksComparison:
    count = wrong = undated = 0
    right: set[tuple[str, int]] = set()
    newest: dict[str, int] = {}
    for symbol, time_ms, bids, asks in shown:
        if time_ms is None:
            undated += 1
            continue
        newest[symbol] = max(time_ms, newest.get(symbol, time_ms))
        if time_ms not in span:
            continue
        count += 1
        top = (_side(bids), _side(asks))
        # A late message shows an older time: the book may be that of then, or the newest one.
        if any(top == truth.top(symbol, at) for at in {time_ms, newest[symbol]}):
            right.add((symbol, time_ms))
        else:
            wrong += 1
    due = {(symbol, time_ms) for symbol, times in truth.changes_ms.items() for time_ms in times}
    return BooksComparison(len(due), len(due & right), count, wrong, undated)


def _side(levels: Iterable[Sequence[str]]) -> Side:
    return tuple((Decimal(price), Decimal(quantity)) for price, quantity in levels)
