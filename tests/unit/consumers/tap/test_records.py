from __future__ import annotations

from typing import Any

import orjson

from consumers.arrival import AHEAD_MS
from consumers.enrich.trades import TradeEnricher
from consumers.tap.records import BadRecords, Decoder, RawRecord, as_stored
from tests.builders import NOW_MS, trade


def raw(offset: int, message: Any) -> RawRecord:
    return RawRecord(
        "market.trades", 0, offset, message if isinstance(message, bytes) else orjson.dumps(message)
    )


def ahead(number: int, by_ms: int) -> Any:
    """A trade whose clock disagrees with ours."""
    return trade(trade_id=number, trade_time_ms=NOW_MS + by_ms, received_time_ms=NOW_MS)


def decoded(*messages: Any) -> tuple[list[int], int]:
    """Offsets of the records that were accepted, and how many were not."""
    bad = BadRecords()
    decoder = Decoder(TradeEnricher().decode, bad)
    records = decoder.decode([raw(offset, message) for offset, message in enumerate(messages)])
    return [record.offset for record, _ in records], bad.count


def test_bad_records_are_counted_and_passed() -> None:
    assert decoded(b"{", trade(), b"", trade(price="much")) == ([1], 3)


def test_a_single_time_beyond_its_arrival_is_a_bad_record() -> None:
    assert decoded(*[trade()] * 5, ahead(6, AHEAD_MS + 1), trade()) == ([0, 1, 2, 3, 4, 6], 1)


def test_times_that_all_lie_beyond_their_arrival_show_that_our_clock_is_behind() -> None:
    assert decoded(*[ahead(number, 60_000) for number in range(9)]) == (list(range(9)), 0)


def test_numbers_that_no_store_takes_are_no_values() -> None:
    given = (1.5, float("nan"), float("inf"), 3, True, None)
    assert as_stored(given) == (1.5, None, None, 3, True, None)
