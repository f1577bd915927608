"""Books are held to the market's own at the same instant."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.true_books import TrueBooks
from chaos.venues import VENUES

START_MS = 1_796_000_000_100


def book(books: TrueBooks, symbol: str, time_ms: int) -> dict[str, Any]:
    sides = dict(zip(("bids", "asks"), books.at(symbol, time_ms), strict=True))
    texts = {
        name: [[f"{price:f}", f"{quantity:f}"] for price, quantity in side] for name, side in sides.items()
    }
    return {"symbol": symbol, "event_time_ms": time_ms, **texts}


@pytest.mark.parametrize(
    ("exchange", "symbol", "depth"), [("kraken", "BTC/USD", 10), ("coinbase", "BTC-USD", 20)]
)
def test_a_true_book_is_true_at_its_instant_alone(exchange: str, symbol: str, depth: int) -> None:
    books = TrueBooks(VENUES[exchange].market(START_MS, 1), ())
    true = book(books, symbol, START_MS + 5_000)
    assert len(true["bids"]) == len(true["asks"]) == depth
    assert not books.compare([true])
    assert dict(books.compare([true | {"event_time_ms": START_MS + 15_000}]).counts) == {
        ("market.book", "different"): 1
    }


def test_a_level_too_few_or_another_quantity_is_found() -> None:
    books = TrueBooks(VENUES["kraken"].market(START_MS, 1), ())
    true = book(books, "ETH/USD", START_MS + 5_000)
    assert books.compare([true | {"asks": true["asks"][:-1]}])
    changed = [[true["bids"][0][0], "0.00000001"], *true["bids"][1:]]
    assert books.compare([true | {"bids": changed}])


def test_in_a_halt_the_book_stays_as_it_was() -> None:
    market = VENUES["kraken"].market(START_MS, 1)
    halted = TrueBooks(market, ("halt:at=10,duration=20,symbols=BTC/USD",))
    before, within = (halted.at("BTC/USD", START_MS + at_ms) for at_ms in (10_000, 25_000))
    assert before == within
    assert TrueBooks(market, ()).at("BTC/USD", START_MS + 25_000) != within


def test_a_book_stamped_by_a_wrong_clock_is_held_to_its_true_instant() -> None:
    market = VENUES["coinbase"].market(START_MS, 1)
    skewed = TrueBooks(market, ("clock_skew:from=1,to=9,offset_ms=1500",))
    true = book(skewed, "BTC-USD", START_MS + 5_000)
    stamped = true | {"event_time_ms": START_MS + 6_500}
    assert not skewed.compare([true, stamped])
    assert TrueBooks(market, ()).compare([stamped])
