"""Rows wait one by one, or as ranges where many change at once; none is forgotten."""

from __future__ import annotations

from consumers.enrich.ledger_rows import QUIET_MS, ROWS_AT_A_TIME, LedgerRows
from consumers.ledger_events import LedgerSeries
from shared.id_ranges import IdRanges

SERIES = LedgerSeries("binance", "BTCUSDC", "klines", "1m")


def slots(rows: LedgerRows, now_ms: int | None) -> list[int]:
    return [slot for _, due in rows.take_due(now_ms) for slot in due]


def test_a_fill_of_a_month_is_written_some_rows_at_a_time() -> None:
    rows = LedgerRows()
    rows.changed(SERIES, IdRanges([(0, 43_199)]), 0)
    assert slots(rows, QUIET_MS - 1) == []
    written: list[int] = []
    while due := slots(rows, QUIET_MS):
        assert len(due) <= ROWS_AT_A_TIME
        written += due
    assert written == list(range(43_200))


def test_what_waits_is_kept_for_a_restart_and_written_at_a_stop() -> None:
    rows = LedgerRows()
    rows.changed(SERIES, IdRanges([(0, 99)]), 0)
    rows.changed(SERIES, IdRanges([(500, 501)]), 0)
    assert list(rows.waiting(SERIES)) == [(0, 99), (500, 501)]
    assert sorted(slots(rows, None)) == [*range(100), 500, 501]
    assert not rows.waiting(SERIES)
    rows.changed(SERIES, IdRanges([(7, 7)]), 0)
    rows.forget(SERIES)
    assert slots(rows, None) == []
