"""What is settled is rolled up first, and what is missing last; a bounded ledger never says less lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.completeness import CompletenessLedger
from consumers.ledger_account import MAX_RANGES, Account
from consumers.rolled_up import COUNTED
from cryptostream.ledger_report.only_counted import claimed_by_number
from cryptostream.ledger_report.recount import Claimed, Found, compare
from cryptostream.ledger_report.report import Recount
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries
from shared.messages import LedgerMessage
from tests.builders import NOW_MS, ledger

TRADES = LedgerSeries("binance", "BTCUSDC", "trades")
MINUTES = LedgerSeries("binance", "BTCUSDC", "klines", "1m")


def entered(*events: tuple[str, int, int], most: int = MAX_RANGES, series: LedgerSeries = TRADES) -> Account:
    account = Account(series, most)
    for kind, first, last in events:
        account.enter(kind, first, last, None)
        assert range_count(account) <= most
    return account


def range_count(account: Account) -> int:
    return account.rolled_up.ranges(account._sets)


def recount(account: Account, in_store: IdRanges) -> Recount:
    """All of a store compared with all that the ledger has."""
    claimed = Claimed(
        IdRanges(account.stored),
        IdRanges(),
        -(2**63),
        account.only_counted(),
        claimed_by_number(account),
    )
    return compare(account.series, claimed, Found(ids=in_store), account.stored, leading_bare=False)


def singles(kind: str, count: int, step: int = 2, begin: int = 0) -> list[tuple[str, int, int]]:
    return [(kind, begin + number * step, begin + number * step) for number in range(count)]


def test_twelve_thousand_gaps_that_were_repaired_leave_nothing_lost() -> None:
    # Fewer of them than a series may have, but more than 10,000.
    count = 12_000
    account = Account(TRADES, MAX_RANGES)
    for event in (("expected", 0, 2 * count - 1), *singles("stored", count)):
        account.enter(*event, None)
    assert account.totals()[:-1] == (2 * count, count, 0, 0, 0, count, 0)
    for number in range(count):
        account.enter("repaired", 2 * number + 1, 2 * number + 1, None)
        account.enter("stored", 2 * number + 1, 2 * number + 1, None)
    assert account.totals()[:-1] == (2 * count, 2 * count, count, 0, 0, 0, 0)


def test_repairs_are_rolled_up_alone_since_they_decide_nothing() -> None:
    account = entered(("expected", 0, 999), *singles("repaired", 400), ("stored", 10, 999), most=100)
    assert account.totals() == (1_000, 990, 400, 0, 0, 10, 0, ((0, 9),))
    assert not account.rolled_up.floored and not account.only_counted()
    before = account.totals()
    for event in singles("repaired", 400):
        account.enter(*event, None)
    assert account.totals() == before  # twice is once
    account.enter("stored", 0, 9, None)
    assert account.totals().lost == 0


def test_where_nothing_is_missing_it_is_one_range_that_all_is_settled() -> None:
    events = [("expected", 0, 1_999), *singles("stored", 1_000), *singles("offline", 1_000, begin=1)]
    account = entered(*sorted(events, key=lambda event: (event[0] != "expected", event[1])), most=100)
    assert account.totals()[:-1] == (2_000, 1_000, 0, 0, 1_000, 0, 0)
    assert account.rolled_up.settled.range_count() == 1 and not account.rolled_up.floored
    in_store = IdRanges((number, number) for number in range(0, 2_000, 2))
    assert recount(account, in_store).agrees
    in_store.remove(10, 10)
    assert recount(account, in_store).fewer == 1
    in_store.update(IdRanges([(3_000, 3_000)]))
    assert recount(account, in_store).unclaimed.ranges == ((3_000, 3_000),)


def test_missing_ids_are_kept_until_they_alone_are_too_many() -> None:
    account = entered(("expected", 0, 999), *singles("stored", 500), most=2_000)
    assert not account.rolled_up
    later = [(kind, n, n) for n in range(1_000, 1_400, 2) for kind in ("expected", "stored")]
    account = entered(*singles("expected", 20), *later, most=200)
    assert account.rolled_up.floored  # 200 settled ranges are counted, the 20 missing ones are named
    assert account.totals()[:-1] == (220, 200, 0, 0, 0, 20, 0)
    assert list(account.unaccounted(account.expected)) == [(n, n) for n in range(0, 40, 2)]
    for first in range(0, 40, 2):
        account.enter("stored", first, first, None)
    assert account.totals()[:-1] == (220, 220, 0, 0, 0, 0, 0)


def test_a_loss_that_is_known_later_is_not_forgotten_with_the_id() -> None:
    events = [(kind, 2 * n, 2 * n) for n in range(200) for kind in ("expected", "stored")]
    account = entered(*events, most=100)
    assert account.rolled_up.floor > 10
    for _ in range(2):
        account.enter("incomplete", 4, 4, None)
        account.enter("stored", 4, 4, None)
        assert account.totals() == (200, 200, 0, 0, 0, 1, 0, ((4, 4),))
    assert recount(account, IdRanges((2 * n, 2 * n) for n in range(200))).agrees


def test_a_row_of_ids_that_are_only_counted_is_not_written_again() -> None:
    events = [("expected", 0, 5_999), *singles("stored", 3_000), *singles("offline", 3_000, begin=1)]
    account = entered(
        *sorted(events, key=lambda event: (event[0] != "expected", event[1])), most=100, series=MINUTES
    )
    assert account.row(0) is None
    row = account.row(5_999)
    assert row is not None and row[1].expected == 1


def old_state(account: Account, **fields: Any) -> dict[str, Any]:
    """The state as versions wrote it that had one floor for all sets."""
    state = account.state()
    for name in ("noted_from", "noted_to", "settled_ids", "excused"):
        del state[name]
    return state | fields


def test_a_snapshot_of_a_version_with_one_floor_is_read() -> None:
    account = entered(("expected", 100, 199), ("stored", 100, 189))
    state = old_state(account, floor=100, settled=[100, 80, 7, 0, 10, 10, 3])
    again = Account.of(TRADES, state)
    assert again.totals() == (200, 170, 7, 0, 10, 20, 3, ((190, 199),))
    before = again.totals()
    for kind in ("expected", "stored", "repaired", "duplicate"):
        again.enter(kind, 0, 99, None)
    assert again.totals() == before
    assert recount(again, IdRanges([(0, 79), (100, 189)])).agrees
    assert recount(again, IdRanges([(0, 77), (100, 189)])).fewer == 2
    assert recount(again, IdRanges([(0, 189)])).agrees  # what was counted lost may have come since
    assert Account.of(TRADES, again.state()).state() == again.state()


@pytest.mark.parametrize("wrong", [{"settled": [1, 2]}, {"noted_from": []}, {"settled_ids": [1, -1]}])
def test_a_state_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        Account.of(TRADES, entered(("expected", 1, 2)).state() | wrong)


def message(kind: str, first: int, last: int) -> LedgerMessage:
    return ledger(kind=kind, first=first, last=last, event_time_ms=NOW_MS)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(("stored", "repaired", "halted", "offline", "duplicate", "incomplete", "lost")),
        st.integers(0, 199),
        st.integers(0, 4),
    ),
    max_size=200,
)


@given(EVENTS, st.integers(12, 60))
def test_a_bounded_ledger_never_says_less_lost_and_raises_no_false_alarm(
    events: list[tuple[str, int, int]], most: int
) -> None:
    bounded, whole = CompletenessLedger(most), CompletenessLedger()
    in_store = IdRanges()
    told = [message("expected", 0, 203)]
    told += [message(kind, first, first + length) for kind, first, length in events]
    for one in told:
        bounded.receive(one)
        whole.receive(one)
        if one["kind"] == "stored":
            in_store.add(one["first"], one["last"])
        assert range_count(bounded.account(TRADES)) <= most
    account, true = bounded.account(TRADES), whole.totals()[TRADES]
    totals = account.totals()
    assert totals.expected == true.expected
    assert totals.lost >= true.lost
    if not account.rolled_up.counts["lost"]:
        assert totals.lost == true.lost
    assert recount(account, in_store).agrees
    assert set(account.rolled_up.counts) == set(COUNTED)
    for one in told:
        bounded.receive(one)
    assert bounded.totals()[TRADES].expected == true.expected
    assert bounded.totals()[TRADES].lost >= true.lost
    assert Account.of(TRADES, account.state()).totals() == account.totals()


def test_bars_that_differ_from_their_trades_are_kept_by_id_until_they_are_corrected() -> None:
    events = [(kind, 2 * n, 2 * n) for n in range(200) for kind in ("expected", "stored")]
    account = entered(("expected", 0, 9), ("stored", 0, 9), ("different", 3, 4), *events, most=100)
    assert account.rolled_up.floor > 10
    assert list(account.wrong()) == list(account.unaccounted(account.expected)) == [(3, 4)]
    again = Account.of(TRADES, account.state())
    for number, lost in ((3, 1), (4, 0)):
        again.enter("corrected", number, number, None)
        assert (again.totals().lost, again.wrong().id_count()) == (lost, lost)
    again.enter("different", 6, 6, None)  # of one that is forgotten
    assert again.totals().lost_ranges == ((6, 6),)
    again.enter("corrected", 6, 6, None)
    assert again.totals().lost == 0


def test_a_wrong_bar_is_corrected_also_where_only_its_being_settled_is_known() -> None:
    events = [("expected", 0, 1_999), *singles("stored", 1_000), *singles("offline", 1_000, begin=1)]
    account = entered(*sorted(events, key=lambda event: (event[0] != "expected", event[1])), most=100)
    assert 8 in account.rolled_up.settled
    account.enter("different", 8, 8, None)
    assert account.totals().lost_ranges == ((8, 8),)
    account.enter("corrected", 8, 8, None)
    assert account.totals().lost == 0


WRONG_TOO = st.lists(
    st.tuples(
        st.sampled_from(("stored", "offline", "repaired", "different", "corrected", "incomplete")),
        st.integers(0, 199),
        st.integers(0, 4),
    ),
    max_size=200,
)


@given(WRONG_TOO, st.integers(12, 60))
def test_no_wrong_bar_is_forgotten_silently(events: list[tuple[str, int, int]], most: int) -> None:
    bounded, whole = Account(TRADES, most), Account(TRADES, MAX_RANGES)
    for kind, first, length in (("expected", 0, 203), *events):
        for account in (bounded, whole):
            account.enter(kind, first, first + length, None)
        assert range_count(bounded) <= most
    assert bounded.totals().lost >= whole.totals().lost
    if not bounded.rolled_up.floored:
        assert bounded.totals().lost == whole.totals().lost
    again = Account.of(TRADES, bounded.state())
    assert (again.totals(), again.wrong()) == (bounded.totals(), bounded.wrong())


@given(WRONG_TOO, WRONG_TOO, st.integers(12, 60), st.integers(12, 60))
def test_two_bounded_accounts_say_together_no_less_lost_than_one_with_all_events(
    ours: list[tuple[str, int, int]], theirs: list[tuple[str, int, int]], most: int, their_most: int
) -> None:
    one, other, whole = Account(TRADES, most), Account(TRADES, their_most), Account(TRADES, MAX_RANGES)
    for account, begin, events in ((one, 0, ours), (other, 100, theirs)):
        for kind, first, length in (("expected", begin, 103), *events):
            account.enter(kind, first, first + length, None)
            whole.enter(kind, first, first + length, None)
    rolled = one.rolled_up or other.rolled_up
    one.merge(other)
    assert range_count(one) <= most
    assert one.totals().lost >= whole.totals().lost
    assert min(one.totals()[:-1]) >= 0
    if not rolled and not one.rolled_up:
        assert one.totals() == whole.totals()
    before = one.state()
    one.merge(Account.of(TRADES, before))
    assert one.state() == before  # the same account in two snapshots is one
