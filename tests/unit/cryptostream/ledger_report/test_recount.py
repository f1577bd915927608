from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from consumers.stores.port import Row
from cryptostream.ledger_report import recount
from cryptostream.ledger_report.output import disagreements
from cryptostream.ledger_report.recount import Claimed, Found, compare, count_points
from cryptostream.ledger_report.report import Span
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries

MINUTE_MS = 60_000
TRADES = LedgerSeries("binance", "BTCUSDC", "trades")
BARS = LedgerSeries("binance", "BTCUSDC", "klines", "1m")
NEVER = -(2**63)


class Rows:
    """A reader that has these rows."""

    def __init__(self, **measurements: list[Row]) -> None:
        self._measurements = measurements

    def read(self, measurement: str, tags: Mapping[str, str], **_: Any) -> Iterator[Row]:
        return iter(self._measurements.get(measurement, []))

    def close(self) -> None:
        """Nothing is open."""


def trades(*ids: int) -> list[Row]:
    return [{"time_ns": number, "trade_id": number} for number in ids]


def bars(*numbers: int) -> list[Row]:
    return [{"time_ns": number * MINUTE_MS * 10**6} for number in numbers]


def counted(series: LedgerSeries, **measurements: list[Row]) -> Found:
    return count_points(Rows(**measurements), series, Span(), lambda _: None)


def claimed(
    *ranges: tuple[int, int], late: tuple[tuple[int, int], ...] = (), expired: int = NEVER
) -> Claimed:
    return Claimed(IdRanges(ranges), IdRanges(late), expired)


def test_ids_are_found_in_any_order_and_repetitions_are_counted() -> None:
    found = counted(TRADES, trade=trades(1, 2, 3, 5, 4, 9, 3))
    assert list(found.ids) == [(1, 5), (9, 9)]
    assert found.repeated == 1


def test_what_is_claimed_and_not_found_is_missing_and_the_reverse_unclaimed() -> None:
    claim = claimed((1, 10))
    outcome = compare(
        TRADES,
        claim,
        counted(TRADES, trade=trades(1, 2, 3, 7, 8, 9, 10, 20)),
        claim.stored,
        leading_bare=False,
    )
    assert (outcome.checked, outcome.missing.count, outcome.missing.ranges) == (10, 3, ((4, 6),))
    assert outcome.unclaimed.ranges == ((20, 20),)
    assert not outcome.agrees


def test_what_was_claimed_meanwhile_is_not_unclaimed() -> None:
    found = counted(TRADES, trade=trades(1, 2, 3))
    assert compare(TRADES, claimed((1, 2)), found, IdRanges([(1, 3)]), leading_bare=False).agrees


def test_what_the_bucket_no_longer_keeps_is_counted_and_no_fault() -> None:
    claim = claimed((1, 10), expired=4)
    outcome = compare(
        TRADES, claim, counted(TRADES, trade=trades(3, *range(5, 11))), claim.stored, leading_bare=False
    )
    assert (outcome.agrees, outcome.expired) == (True, 3)


def test_a_bar_needs_its_indicators_unless_it_came_late() -> None:
    claim = claimed((1, 5), late=((4, 4),))
    found = counted(BARS, kline=bars(1, 2, 3, 4, 5), indicator=bars(1, 3, 5))
    outcome = compare(BARS, claim, found, claim.stored, leading_bare=False)
    assert outcome.without_indicators.ranges == ((2 * MINUTE_MS, 2 * MINUTE_MS),)
    assert outcome.missing.count == 0


def test_chosen_indicators_may_begin_some_bars_later() -> None:
    claim = claimed((1, 5))
    found = counted(BARS, kline=bars(1, 2, 3, 4, 5), indicator=bars(3, 5))
    assert compare(BARS, claim, found, claim.stored, leading_bare=True).without_indicators.count == 1
    assert compare(BARS, claim, found, claim.stored, leading_bare=False).without_indicators.count == 3


def test_too_many_holes_end_the_count_and_are_said(monkeypatch: Any) -> None:
    monkeypatch.setattr(recount, "MAX_HOLES", 10)
    found = counted(TRADES, trade=trades(*range(0, 1_000, 2)))
    outcome = compare(TRADES, claimed((0, 1_000)), found, IdRanges([(0, 1_000)]), leading_bare=False)
    assert outcome.cut_short
    assert not outcome.agrees
    assert outcome.checked < 30


def test_a_bar_so_old_that_late_ones_are_forgotten_is_said_and_no_fault() -> None:
    claim = Claimed(IdRanges([(1, 9)]), IdRanges([(6, 6)]), NEVER, late_from=4)
    found = counted(BARS, kline=bars(*range(1, 10)), indicator=bars(1, 4, 5, 7, 8, 9))
    outcome = compare(BARS, claim, found, claim.stored, leading_bare=False)
    assert (outcome.agrees, outcome.perhaps_late, outcome.without_indicators.count) == (True, 2, 0)
    assert list(disagreements(outcome)) == [
        "BTCUSDC klines 1m: 2 have no indicator point; whether they came late is not known"
    ]
