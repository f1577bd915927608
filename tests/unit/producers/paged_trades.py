"""An exchange's trades over REST, page by page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from producers.since_pages import SincePages
from producers.trade_pages import KRAKEN, Before, Repair, Since, Within
from tests.builders import NOW_MS, trade


def at(trade_id: int, ms: int | None = None, **fields: Any) -> Any:
    return trade(trade_id=trade_id, trade_time_ms=NOW_MS + (trade_id * 10 if ms is None else ms), **fields)


class Rest:
    """An exchange's trades by REST, in its three ways of paging."""

    def __init__(self, trades: Iterable[Any], page: int) -> None:
        self.trades = sorted(trades, key=lambda each: each["trade_id"])
        self.page = page
        self.requests: list[Since | Within | Before] = []

    def since(self, asked: Since) -> tuple[list[Any], int, int]:
        self.requests.append(asked)
        by_time = sorted(self.trades, key=lambda each: (each["trade_time_ms"], each["trade_id"]))
        rows = [each for each in by_time if each["trade_time_ms"] * 1_000_000 > asked.since_ns][: self.page]
        end_ns = rows[-1]["trade_time_ms"] * 1_000_000 if rows else asked.since_ns
        return sorted(rows, key=lambda each: each["trade_id"]), end_ns, len(rows)

    def within(self, asked: Within) -> list[Any]:
        self.requests.append(asked)
        start, end = asked.start_s * 1000, asked.end_s * 1000
        return [each for each in self.trades if start <= each["trade_time_ms"] <= end][-self.page :]

    def before(self, asked: Before) -> list[Any]:
        self.requests.append(asked)
        return [each for each in self.trades if each["trade_id"] < asked.trade_id][-self.page :]


def by_since(rest: Rest, first: int, last: int, held: Iterable[Any] = ()) -> Repair:
    pages = SincePages(
        first, last, held, before_ms=NOW_MS + (first - 1) * 10, rules=KRAKEN._replace(page=rest.page)
    )
    while not pages.done:
        pages.receive(*rest.since(pages.request()))
    return pages.repair()


def ids(found: Repair) -> list[int]:
    return [each["trade_id"] for each in found.trades]
