"""Rows wait one by one, or as ranges where many change at once; none is forgotten."""

from __future__ import annotations

from consumers.enrich.ledger_rows import QUIET_MS, ROWS_AT_A_TIME, LedgerRows
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries

SERIES = LedgerSeries("binance", "BTCUSDC", "klines", "1m")


def periods(rows: LedgerRows, now_ms: int | None) -> list[int]:
    return [period for _, due in rows.take_due(now_ms) for period in due]


def test_a_fill_of_a_month_is_written_some_rows_at_a_time() -> None:
    rows = LedgerRows()
    rows.changed(SERIES, IdRanges([(0, 43_199)]), 0)
    assert periods(rows, QUIET_MS - 1) == []
    written: list[int] = []
    while due := periods(rows, QUIET_MS):
        assert len(due) <= ROWS_AT_A_TIME
        written += due
    assert written == list(range(43_200))


def test_what_waits_is_kept_for_a_restart_and_written_at_a_stop() -> None:
    rows = LedgerRows()
    rows.changed(SERIES, IdRanges([(0, 99)]), 0)
    rows.changed(SERIES, IdRanges([(500, 501)]), 0)
    assert list(rows.waiting(SERIES)) == [(0, 99), (500, 501)]
    assert sorted(periods(rows, None)) == [*range(100), 500, 501]
    assert not rows.waiting(SERIES)
    rows.changed(SERIES, IdRanges([(7, 7)]), 0)
    rows.forget(SERIES)
    assert periods(rows, None) == []
