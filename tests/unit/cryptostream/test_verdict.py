"""The exit code and the words at the end of a run."""

from __future__ import annotations

from cryptostream.embedded.snapshot import LedgerRow
from cryptostream.embedded.verdict import judge, merged_by_stream
from shared.trade_ids import number

WHOLE = LedgerRow("BTCUSDC", "trades", "", expected=100, stored=100)


def test_nothing_lost_and_every_end_clean_is_zero():
    verdict = judge([WHOLE], [], data_awaited=True)
    assert verdict.exit_code == 0
    assert "100" in verdict.line and not verdict.faults


def test_what_is_lost_is_named_with_its_ids():
    ranges = ((7, 7), (20, 29), (40, 41), (50, 50))
    lost = LedgerRow("ETHUSDC", "trades", "", expected=100, stored=86, lost=14, lost_ranges=ranges)
    verdict = judge([WHOLE, lost], [], data_awaited=True)
    assert verdict.exit_code == 1
    assert verdict.faults == ("ETHUSDC trades: 14 lost: trade ids 7, 20–29, 40–41 and 1 more ranges",)


def test_a_child_that_did_not_end_cleanly_fails_the_run():
    verdict = judge([WHOLE], ["consumers did not stop in time and was killed"], data_awaited=True)
    assert verdict.exit_code == 1
    assert verdict.faults == ("consumers did not stop in time and was killed",)


def test_a_run_in_which_nothing_came_fails_only_if_something_should_have():
    assert judge([], [], data_awaited=True).exit_code == 1
    assert judge([], [], data_awaited=False).exit_code == 0


def test_halts_and_offline_times_are_no_loss_but_are_said():
    excused = LedgerRow("BTCUSDC", "klines", "1m", expected=60, stored=50, halted=6, offline=4)
    verdict = judge([excused], [], data_awaited=True)
    assert verdict.exit_code == 0
    assert "10 of them" in verdict.line


def test_symbols_are_summed_for_each_stream_and_interval():
    rows = [
        LedgerRow("BTCUSDC", "klines", "1m", expected=5, stored=5, backfilled=4),
        LedgerRow("ETHUSDC", "klines", "1m", expected=5, stored=4, lost=1, duplicates=2),
        LedgerRow("BTCUSDC", "klines", "1s", expected=9, stored=9),
    ]
    assert merged_by_stream(rows) == (
        LedgerRow("", "klines", "1m", expected=10, stored=9, backfilled=4, lost=1, duplicates=2),
        LedgerRow("", "klines", "1s", expected=9, stored=9),
    )


def test_what_is_lost_of_a_later_numbering_is_named_with_that():
    first = number(1, 5)
    lost = LedgerRow("ETHUSDC", "trades", "", expected=9, stored=6, lost=3, lost_ranges=((first, first + 2),))
    verdict = judge([lost], [], data_awaited=True)
    assert verdict.faults == ("ETHUSDC trades: 3 lost: trade ids 5 (numbering 2)–7 (numbering 2)",)
