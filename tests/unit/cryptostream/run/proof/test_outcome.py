"""The exit code and the words at the end of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cryptostream.run.proof.checks import Result, Status
from cryptostream.run.proof.outcome import Part, classify, conclude, merged_by_stream, verdicts
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


def test_bars_that_differ_from_their_trades_are_told_apart_from_missing_ones() -> None:
    lost = ((0, 3_000), (9_000, 9_000), (20_000, 22_000))
    row = LedgerRow("BTCUSDC", "klines", "1s", expected=30, stored=22, lost=8, lost_ranges=lost)
    mixed = replace(row, different=((2_000, 3_000), (21_000, 21_000)))
    outcome = classify([WHOLE, mixed], [SEEN], [], checked="the values of 30 of 30 bars")
    assert (outcome.exit_code, outcome.line) == (1, "NOT COMPLETE")
    assert outcome.faults == (
        "BTCUSDC klines 1s: 5 missing: open times 0–1000, 9000, 20000 and 1 more ranges",
        "BTCUSDC klines 1s: 3 differ from their trades: open times 2000–3000, 21000",
    )
    wrong = replace(row, lost=8, different=lost)
    assert classify([wrong], [SEEN], []).faults == (
        "BTCUSDC klines 1s: 8 differ from their trades: open times 0–3000, 9000, 20000–22000",
    )


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


def part(exchange: str, status: Status = Status.OK) -> Part:
    return Part(exchange, (Result(f"{exchange}:BTC trades", status, "no word of it"),), f"ids of {exchange}")


def of(exchange: str, **counts: int) -> LedgerRow:
    return LedgerRow(f"{exchange}:BTC", "trades", "", exchange=exchange, **counts)  # type: ignore[arg-type]


def test_each_exchange_has_a_verdict_of_its_own() -> None:
    ledger = [of("binance", expected=5, stored=5), of("kraken", expected=3, stored=2, lost=1)]
    parts = [part("binance"), part("kraken"), part("coinbase", Status.UNKNOWN)]
    assert verdicts(ledger, parts, [SEEN]) == (
        "binance: complete: 5 trades and bars expected, nothing lost; checked: ids of binance",
        "kraken: NOT COMPLETE",
        "coinbase: NOT COMPLETE",
    )
    assert verdicts(ledger, parts[:1], [SEEN]) == ()


def test_what_an_exchange_rests_on_besides_is_part_of_its_verdict() -> None:
    ledger = [of("binance", expected=5, stored=5), of("kraken", expected=3, stored=3)]
    silent = (Result("kraken: producer", Status.UNKNOWN, "never reported"),)
    parts = [part("binance"), replace(part("kraken"), services=silent)]
    assert [line.partition(":")[2][:10] for line in verdicts(ledger, parts, [SEEN])] == [
        " complete:",
        " NOT COMPL",
    ]
    assert conclude(ledger, parts, [SEEN], []).faults == ("kraken: producer: never reported",)
    unread = Result("pipeline.ledger", Status.UNKNOWN, "not read to its end")
    assert verdicts(ledger, parts, [unread]) == ("binance: NOT COMPLETE", "kraken: NOT COMPLETE")
    # Services that are well prove nothing of the data.
    parts[1] = Part("kraken", (), "", services=(SEEN,))
    assert verdicts(ledger, parts, [SEEN])[1] == "kraken: NOT COMPLETE"
    assert conclude(ledger, parts, [SEEN], []).faults == ("kraken: nothing was checked",)


def test_a_run_is_complete_if_each_of_its_exchanges_is() -> None:
    ledger = [of("binance", expected=5, stored=5), of("kraken", expected=3, stored=3)]
    outcome = conclude(ledger, [part("binance"), part("kraken")], [SEEN], [])
    assert (outcome.exit_code, outcome.line) == (
        0,
        "complete: 8 trades and bars expected, nothing lost; checked: each of 2 exchanges, as above",
    )
    one = conclude(ledger[:1], [part("binance")], [SEEN], [])
    assert one.line.endswith("checked: ids of binance")
    assert conclude(ledger, [part("binance"), part("kraken", Status.UNKNOWN)], [SEEN], []).faults == (
        "kraken:BTC trades: no word of it",
    )
    assert conclude(ledger, [part("binance"), Part("kraken", (), "")], [SEEN], []).faults == (
        "kraken: nothing was checked",
    )


def test_services_that_are_well_do_not_make_a_run_complete_of_whose_exchanges_nothing_was_checked() -> None:
    outcome = conclude((), (), [Result("the producers", Status.OK)], ())
    assert (outcome.exit_code, outcome.line) == (1, "NOT COMPLETE")
    assert outcome.faults == ("nothing of any exchange was checked",)
