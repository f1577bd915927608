"""The exit code and the words at the end of a run."""

from __future__ import annotations

from typing import Any

import pytest

from cryptostream.run.proof.checks import Result, Status
from cryptostream.run.proof.outcome import classify, merged_by_stream
from cryptostream.run.view import LedgerRow
from shared.trade_ids import number

WHOLE = LedgerRow("BTCUSDC", "trades", "", expected=100, stored=100)
SEEN = Result("BTCUSDC trades", Status.OK)


def test_all_there_and_all_looked_at_is_zero() -> None:
    outcome = classify([WHOLE], [SEEN], [], checked="trades up to the newest id")
    assert outcome.exit_code == 0 and not outcome.faults
    assert outcome.line == (
        "complete: 100 trades and bars expected, nothing lost; checked: trades up to the newest id"
    )


@pytest.mark.parametrize("state", [Status.MISSING, Status.UNKNOWN])
def test_what_is_missing_or_was_not_looked_at_fails_the_run_and_is_named(state: Any) -> None:
    outcome = classify([WHOLE], [SEEN, Result("BTCUSDC klines 1s", state, "no word of it")], [])
    assert outcome.exit_code == 1
    assert outcome.line == "NOT COMPLETE" and outcome.faults == ("BTCUSDC klines 1s: no word of it",)


def test_a_whole_ledger_that_nobody_has_checked_is_not_complete() -> None:
    outcome = classify([WHOLE], [], [])
    assert outcome.exit_code == 1
    assert outcome.line == "NOT COMPLETE" and outcome.faults == ("nothing was checked",)


def test_missing_ids_are_named() -> None:
    ranges = ((7, 7), (20, 29), (40, 41), (50, 50))
    lost = LedgerRow("ETHUSDC", "trades", "", expected=100, stored=86, lost=14, lost_ranges=ranges)
    outcome = classify([WHOLE, lost], [SEEN], [])
    assert outcome.exit_code == 1
    assert outcome.faults == ("ETHUSDC trades: 14 missing: trade ids 7, 20–29, 40–41 and 1 more ranges",)


def test_ids_of_a_later_numbering_are_shown_as_the_exchange_has_them() -> None:
    span = (number(1, 5), number(1, 6))
    lost = LedgerRow("ETHUSDC", "trades", "", expected=2, lost=2, lost_ranges=(span,))
    (fault,) = classify([lost], [SEEN], []).faults
    assert fault == "ETHUSDC trades: 2 missing: trade ids 5 (numbering 2)–6 (numbering 2)"


def test_a_child_that_did_not_end_cleanly_fails_the_run() -> None:
    outcome = classify([WHOLE], [SEEN], ["consumers did not stop in time and was killed"])
    assert outcome.exit_code == 1
    assert outcome.faults == ("consumers did not stop in time and was killed",)


def test_halts_and_offline_times_are_no_loss_but_are_said() -> None:
    excused = LedgerRow("BTCUSDC", "klines", "1m", expected=60, stored=50, halted=6, offline=4)
    outcome = classify([excused], [SEEN], [])
    assert outcome.exit_code == 0
    assert "10 of them" in outcome.line


def test_symbols_are_summed_for_each_stream_and_interval() -> None:
    rows = [
        LedgerRow("BTCUSDC", "klines", "1m", expected=5, stored=5, backfilled=4),
        LedgerRow("ETHUSDC", "klines", "1m", expected=5, stored=4, lost=1, duplicates=2),
        LedgerRow("BTCUSDC", "klines", "1s", expected=9, stored=9),
    ]
    assert merged_by_stream(rows) == (
        LedgerRow("", "klines", "1m", expected=10, stored=9, backfilled=4, lost=1, duplicates=2),
        LedgerRow("", "klines", "1s", expected=9, stored=9),
    )
