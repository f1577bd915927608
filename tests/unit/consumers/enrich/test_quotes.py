"""Quotes: the last one of each tenth of a second."""

from __future__ import annotations

from typing import Any

import pytest

from consumers.enrich.quotes import QuoteEnricher
from shared.messages import QuoteMessage
from tests.builders import NOW_MS, quote


def test_the_last_quote_of_a_period_wins() -> None:
    batch = [
        (0, n, quote(update_id=n, received_time_ms=NOW_MS + at_ms, symbol=symbol))
        for n, (at_ms, symbol) in enumerate([(0, "A"), (99, "A"), (50, "B"), (100, "A")])
    ]
    points = QuoteEnricher().receive(batch, 0).points
    assert [(p.series.tags[1], p.time_ns // 1_000_000 - NOW_MS, p.values[4]) for p in points] == [
        ("A", 0, 1),
        ("B", 0, 2),
        ("A", 100, 3),
    ]
    assert points[0].values[:4] == (100.0, 1.0, 101.0, 2.0)


def at(received_ms: int, **fields: Any) -> tuple[int, int, QuoteMessage]:
    return 0, received_ms, quote(update_id=received_ms, received_time_ms=NOW_MS + received_ms, **fields)


NO_BID: dict[str, Any] = {"bid_price": None, "bid_quantity": None}


@pytest.mark.parametrize("empty", [NO_BID, {"bid_price": "0.00000000", "bid_quantity": "0.00000000"}])
def test_a_side_that_nobody_is_on_has_no_fields(empty: dict[str, Any]) -> None:
    (point,) = QuoteEnricher().receive([at(0, **empty)], 0).points
    assert point.values == (None, None, 101.0, 2.0, 0)


def test_a_side_that_empties_in_a_period_that_is_written_is_told_by_the_next_one() -> None:
    # A store keeps a field that the same point was written with before.
    enricher = QuoteEnricher()
    batches = [[at(0)], [at(20, **NO_BID)], [at(40)], [at(110, **NO_BID)], [at(300)]]
    points = [point for batch in batches for point in enricher.receive(batch, 0).points]
    written = [(point.time_ns // 1_000_000 - NOW_MS, point.values[0]) for point in points]
    assert written == [(0, 100.0), (100, None), (100, 100.0), (200, None), (300, 100.0)]
