"""Prepared frames: their times are pressed together, and nothing else is changed."""

from __future__ import annotations

import re

import orjson
import pytest

from bench.checksums import NotProven, microseconds
from bench.venue_frames import Counts, counts, frames, kraken_snapshot, retimed
from simulator.protocols.instants import ms_of

START_MS = 1_785_767_100_000
BEGIN_MS = START_MS + 600_000
TIMES = re.compile(rb'"(?:timestamp|time|event_time)":"([^"]+)"')


@pytest.mark.parametrize("exchange", ["kraken", "coinbase"])
def test_times_lie_in_the_span_in_their_order_and_all_else_is_as_it_was(exchange: str) -> None:
    made = list(frames(exchange, START_MS, 60))
    moved = list(retimed(made, START_MS, BEGIN_MS, 1.0))
    times = [ms_of(found[1].decode()) for frame in moved for found in TIMES.finditer(frame)]
    assert min(times) >= BEGIN_MS and max(times) <= BEGIN_MS + 1_000
    newest = [max(ms_of(found[1].decode()) for found in TIMES.finditer(frame)) for frame in moved]
    assert newest == sorted(newest)
    assert [TIMES.sub(b"", frame) for frame in moved] == [TIMES.sub(b"", frame) for frame in made]
    # As many places as the exchange writes.
    assert [len(frame) for frame in moved] == [len(frame) for frame in made]


def test_a_market_shorter_than_the_span_is_only_moved() -> None:
    made = list(frames("kraken", START_MS, 20))
    moved = list(retimed(made, START_MS, BEGIN_MS, 3_600.0))
    for before, after in zip(made, moved, strict=True):
        steps = {
            ms_of(new[1].decode()) - ms_of(old[1].decode())
            for old, new in zip(TIMES.finditer(before), TIMES.finditer(after), strict=True)
        }
        assert steps == {BEGIN_MS - START_MS}


def test_records_are_counted_as_a_producer_publishes_them() -> None:
    trade = orjson.dumps({"channel": "trade", "data": [{}, {}]})
    traded = orjson.dumps({"channel": "market_trades", "events": [{"trades": [{}, {}, {}]}]})
    book, quote = orjson.dumps({"channel": "book"}), orjson.dumps({"channel": "ticker"})
    level2 = orjson.dumps({"channel": "l2_data"})
    assert counts([trade, traded, book, level2, quote]) == Counts(trades=5, books=2, quotes=1)


def test_the_checksums_are_timed_on_books_that_fit_them() -> None:
    made = list(frames("kraken", START_MS, 60))
    assert 0 < microseconds(kraken_snapshot(START_MS), made) < 10_000
    with pytest.raises(NotProven):
        microseconds(kraken_snapshot(START_MS + 60_000), made)
