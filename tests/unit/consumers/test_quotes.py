"""Quotes: the last one of each tenth of a second."""

from __future__ import annotations

from consumers.enrich.quotes import QuoteEnricher
from tests.builders import NOW_MS, quote


def test_the_last_quote_of_a_slot_wins() -> None:
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
