"""Each check is red for its kind of violation, and only then."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from oracle.checks import Case, Ended, Span, Violation, missing, violations_of
from oracle.exchange_log import Bar, BarSeries, ExchangeLog, TradeKey
from oracle.stores import Stored

BEGIN_MS, END_MS = 1_000_000, 1_060_000
COMPLETE = "complete: 66 trades and bars expected, nothing lost [broker: memory; data: /data]"
NUMBERS = (1.0, 2.0)
BAR_NUMBERS = (1.0, 2.0, 0.5, 1.5, 10.0, 3.0)
ONE_S = BarSeries("BTCUSDC", "1s")


def trade_keys(first: int = 1, count: int = 6, begin_ms: int = BEGIN_MS) -> list[TradeKey]:
    """A trade each ten seconds."""
    return [TradeKey(first + index, begin_ms + index * 10_000 + 5) for index in range(count)]


def exchange_log(trades: Sequence[TradeKey] = (), opens: Sequence[int] = ()) -> ExchangeLog:
    keys = trades or trade_keys()
    times = opens or range(BEGIN_MS, END_MS, 1_000)
    return ExchangeLog(
        {"BTCUSDC": dict.fromkeys(keys, NUMBERS)},
        {ONE_S: {open_ms: Bar(open_ms + 999, BAR_NUMBERS) for open_ms in times}},
    )


def stored(
    of: ExchangeLog, *, without_trades: Sequence[int] = (), without_opens: Sequence[int] = ()
) -> Stored:
    trades = [
        (key, numbers) for key, numbers in of.trades["BTCUSDC"].items() if key.trade_id not in without_trades
    ]
    bars = {at: bar.numbers for at, bar in of.bars[ONE_S].items() if at not in without_opens}
    claimed = {("BTCUSDC", "trades", ""): len(trades), ("BTCUSDC", "klines", "1s"): len(bars)}
    return Stored({"BTCUSDC": trades}, {ONE_S: bars}, claimed)


def case(**changes: Any) -> Case:
    issued = exchange_log()
    whole = Case(
        issued=issued,
        stored=stored(issued),
        ended=Ended(0, (COMPLETE,)),
        span=Span(BEGIN_MS, END_MS),
        symbols=("BTCUSDC",),
        intervals=("1s",),
    )
    return replace(whole, **changes)


def kinds(violations: Sequence[Violation]) -> list[str]:
    return [violation.kind for violation in violations]


def test_a_whole_run_is_held() -> None:
    assert violations_of(case()) == ()
    assert violations_of(case(undisturbed=True)) == ()


@pytest.mark.parametrize(
    "left_out", [{"without_trades": [3]}, {"without_opens": [BEGIN_MS + 7_000]}], ids=["trade", "bar"]
)
def test_exit_code_0_with_one_issued_id_missing_is_red_and_exit_code_1_that_names_it_is_not(
    left_out: dict[str, list[int]],
) -> None:
    holed = stored(exchange_log(), **left_out)
    (violation,) = violations_of(case(stored=holed))
    assert violation.kind == "missing" and violation.how_often == 1
    told = ("  BTCUSDC: 1 missing: 3", "NOT COMPLETE [broker: memory]")
    assert violations_of(case(stored=holed, ended=Ended(1, told))) == ()


def test_of_a_trade_that_was_stored_under_its_id_but_another_time_the_true_one_is_missing() -> None:
    issued = exchange_log()
    rows = stored(issued)
    key, numbers = rows.trades["BTCUSDC"][2]
    moved = key._replace(time_ms=key.time_ms + 86_400_000)
    lied = replace(
        rows, trades={"BTCUSDC": [*rows.trades["BTCUSDC"][:2], (moved, numbers), *rows.trades["BTCUSDC"][3:]]}
    )
    assert kinds(violations_of(case(stored=lied))) == ["missing", "unissued"]


def test_a_trade_and_a_bar_that_never_were_are_red_whatever_the_exit_code() -> None:
    rows = stored(exchange_log())
    trades = [*rows.trades["BTCUSDC"], (TradeKey(2**53 + 1, BEGIN_MS), NUMBERS)]
    bars = {**rows.bars[ONE_S], BEGIN_MS + 360_000_000: BAR_NUMBERS}
    lied = replace(rows, trades={"BTCUSDC": trades}, bars={ONE_S: bars})
    for ended in (Ended(0, (COMPLETE,)), Ended(1, ("  BTCUSDC: 1 lost", "NOT COMPLETE"))):
        assert kinds(violations_of(case(stored=lied, ended=ended))) == ["unissued", "unissued"]


def test_other_numbers_than_those_issued_are_red() -> None:
    rows = stored(exchange_log())
    (key, _), *others = rows.trades["BTCUSDC"]
    bars = {**rows.bars[ONE_S], BEGIN_MS: (9.0, *BAR_NUMBERS[1:])}
    wrong = replace(rows, trades={"BTCUSDC": [(key, (1.0, 2.5)), *others]}, bars={ONE_S: bars})
    assert kinds(violations_of(case(stored=wrong))) == ["different", "different"]


def test_a_trade_in_two_rows_is_red() -> None:
    rows = stored(exchange_log())
    twice = replace(rows, trades={"BTCUSDC": [*rows.trades["BTCUSDC"], rows.trades["BTCUSDC"][0]]})
    assert kinds(violations_of(case(stored=twice))) == ["twice"]


@pytest.mark.parametrize("series", [("BTCUSDC", "trades", ""), ("BTCUSDC", "klines", "1s")])
def test_more_claimed_as_stored_than_there_is_is_red_even_with_exit_code_1(series: Any) -> None:
    rows = stored(exchange_log())
    claimed = replace(rows, claimed={**rows.claimed, series: rows.claimed[series] + 17})
    (violation,) = violations_of(case(stored=claimed, ended=Ended(1, ("  BTCUSDC: 17 lost",))))
    assert violation.kind == "claimed" and violation.how_often == 17


def test_what_was_stored_in_a_store_that_was_taken_away_was_no_false_claim_but_nothing_later() -> None:
    taken_ms = BEGIN_MS + 25_000
    left = stored(exchange_log(), without_trades=[1, 2, 3], without_opens=range(BEGIN_MS, taken_ms, 1_000))
    rows = replace(left, claimed=stored(exchange_log()).claimed)
    told = Ended(1, ("  the store has been removed",))
    assert violations_of(case(stored=rows, ended=told, taken_until_ms=taken_ms)) == ()
    assert kinds(violations_of(case(stored=rows, ended=told))) == ["claimed", "claimed"]
    assert kinds(violations_of(case(stored=rows, ended=told, taken_until_ms=taken_ms - 10_000))) == [
        "claimed",
        "claimed",
    ]


def test_ids_that_begin_anew_are_other_trades_than_those_of_the_same_ids_before() -> None:
    before, after = trade_keys(first=1, count=3), trade_keys(first=1, count=3, begin_ms=BEGIN_MS + 30_000)
    issued = exchange_log([*before, *after])
    assert violations_of(case(issued=issued, stored=stored(issued))) == ()
    only_first = replace(stored(issued), trades={"BTCUSDC": [(key, NUMBERS) for key in before]}, claimed={})
    (violation,) = violations_of(case(issued=issued, stored=only_first))
    assert violation.kind == "missing" and violation.how_often == 3


def test_rows_that_were_there_and_are_no_more_are_red() -> None:
    holed = stored(exchange_log(), without_trades=[1, 2], without_opens=[BEGIN_MS])
    told = Ended(1, ("  BTCUSDC trades: 2 missing",))
    violations = violations_of(case(stored=holed, before=[stored(exchange_log())], ended=told))
    assert [(violation.kind, violation.how_often) for violation in violations] == [
        ("deleted", 2),
        ("deleted", 1),
    ]


def test_exit_code_0_without_a_store_or_with_nothing_looked_at_is_red() -> None:
    assert "missing" in kinds(violations_of(case(stored=None)))
    nothing = Ended(0, ("complete: nothing had to be stored [broker: memory]",))
    assert "silent" in kinds(violations_of(case(stored=Stored(), ended=nothing)))
    # Where nothing was issued there was nothing to look at.
    assert violations_of(case(issued=ExchangeLog({}, {}), stored=Stored(), ended=nothing)) == ()


@pytest.mark.parametrize("exit_code", [None, 2, -9, 139])
def test_no_orderly_end_is_red(exit_code: int | None) -> None:
    assert kinds(violations_of(case(ended=Ended(exit_code, ("error: X",))))) == ["unended"]


def test_exit_code_1_has_to_say_why_and_is_wrong_where_nothing_was_done() -> None:
    assert kinds(violations_of(case(ended=Ended(1, ("starting", "NOT COMPLETE [broker: memory]"))))) == [
        "unnamed"
    ]
    said = Ended(1, ("  BTCUSDC trades: 3 lost: trade ids 5–7", "NOT COMPLETE"))
    assert violations_of(case(ended=said)) == ()
    assert kinds(violations_of(case(ended=said, undisturbed=True))) == ["needless"]


def test_only_what_was_issued_in_the_span_has_to_be_there_and_all_from_the_first_row_on() -> None:
    issued = exchange_log([*trade_keys(), TradeKey(0, BEGIN_MS - 1), TradeKey(7, END_MS + 1)])
    assert violations_of(case(issued=issued, stored=stored(issued, without_trades=[0, 7]))) == ()
    # A store that begins earlier is to be whole from there on.
    earlier = exchange_log([TradeKey(-2, BEGIN_MS - 30_000), TradeKey(-1, BEGIN_MS - 20_000), *trade_keys()])
    (violation,) = violations_of(case(issued=earlier, stored=stored(earlier, without_trades=[-1])))
    assert violation.kind == "missing" and violation.how_often == 1


def test_a_bar_that_closes_at_the_very_end_is_not_asked_for() -> None:
    issued = exchange_log(opens=[*range(BEGIN_MS, END_MS, 1_000), END_MS])
    assert violations_of(case(issued=issued, stored=stored(issued, without_opens=[END_MS]))) == ()


def test_what_was_issued_between_two_invocations_may_be_missing_if_the_command_says_so() -> None:
    away = (Span(BEGIN_MS + 15_000, BEGIN_MS + 35_000),)
    holed = stored(exchange_log(), without_trades=[3, 4])
    assert kinds(violations_of(case(stored=holed, away=away))) == ["missing"]
    said = "complete: 64 trades and bars expected (2 of them while the exchange was halted or we were off)"
    assert violations_of(case(stored=holed, away=away, ended=Ended(0, (said,)))) == ()
    # Not more of them than it says, and none of any other time.
    more = stored(exchange_log(), without_trades=[2, 3, 4])
    (violation,) = violations_of(
        case(stored=more, away=away, ended=Ended(0, (said.replace("2 of", "1 of"),)))
    )
    assert violation.kind == "missing" and violation.how_often == 3
    assert kinds(violations_of(case(stored=more, away=away, ended=Ended(0, (said,))))) == ["missing"]


def test_missing_says_what_is_left_over_whatever_the_exit_code() -> None:
    holed = stored(exchange_log(), without_trades=[2], without_opens=[BEGIN_MS + 1_000])
    trades, bars = missing(case(stored=holed, ended=Ended(1)))
    assert [key.trade_id for _, key in trades] == [2]
    assert bars == [(ONE_S, BEGIN_MS + 1_000)]
