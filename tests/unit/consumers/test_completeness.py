"""The completeness ledger is set arithmetic: twice is once, order is nothing, lost is what is left."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.completeness import CompletenessLedger, MinuteRow, Totals, period_ms
from consumers.ledger_account import Account
from shared.ledger import LedgerSeries
from shared.messages import AS_TRADES_SAY, LedgerMessage
from shared.trade_ids import EPOCH_SPAN
from tests.builders import NOW_MS, ledger

TRADES = LedgerSeries("binance", "BTCUSDC", "trades")
SECONDS = LedgerSeries("binance", "BTCUSDC", "klines", "1s")
HOURS = LedgerSeries("binance", "BTCUSDC", "klines", "1h")


def entered(*messages: LedgerMessage, max_ranges: int = 10_000) -> CompletenessLedger:
    completeness = CompletenessLedger(max_ranges)
    for message in messages:
        assert completeness.receive(message) is None
    return completeness


def changed_rows(completeness: CompletenessLedger) -> dict[tuple[LedgerSeries, int], MinuteRow]:
    """The rows that have changed since the last call, by series and minute."""
    return {
        (series, minute_ms): row
        for series, periods in completeness.take_changed().items()
        for first, last in periods
        for minute_ms, row in completeness.rows(series, range(first, last + 1))
    }


def event(kind: str, first: int, last: int, **fields: Any) -> LedgerMessage:
    return ledger(kind=kind, first=first, last=last, count=last - first + 1, **fields)


def bars(kind: str, first_ms: int, last_ms: int, interval: str) -> LedgerMessage:
    return event(kind, first_ms, last_ms, stream="klines", interval=interval)


def test_lost_is_what_was_expected_and_is_not_accounted_for() -> None:
    completeness = entered(
        event("expected", 1, 100),
        event("stored", 1, 50),
        event("halted", 61, 70),
        event("offline", 71, 80),
        event("repaired", 41, 50),
        event("duplicate", 7, 7),
    )
    assert completeness.totals() == {
        TRADES: Totals(100, 50, 10, 10, 10, 30, 1, ((51, 60), (81, 100))),
    }


def test_what_a_producer_calls_lost_was_expected() -> None:
    assert entered(event("lost", 5, 6)).totals()[TRADES].lost == 2


@pytest.mark.parametrize("kind", ["stored", "halted", "offline"])
def test_what_is_known_to_be_incomplete_is_lost_although_it_is_stored(kind: str) -> None:
    messages = [bars("expected", 0, 9_000, "1s"), bars(kind, 0, 9_000, "1s")]
    incomplete = bars("incomplete", 3_000, 4_000, "1s")
    for order in ([*messages, incomplete], [incomplete, *messages], [*messages, incomplete, *messages]):
        completeness = entered(*order)
        totals = completeness.totals()[SECONDS]
        assert (totals.expected, totals.lost, totals.lost_ranges) == (10, 2, ((3_000, 4_000),))
        rows = changed_rows(completeness)
        assert rows[SECONDS, 0].lost == 2
        account = completeness.account(SECONDS)
        assert not account.unheard()
        assert Account.of(SECONDS, account.state()).totals() == totals


def test_an_account_of_a_version_that_knew_neither_incomplete_ids_nor_wrong_bars_is_read() -> None:
    state = entered(bars("expected", 0, 9_000, "1s")).account(SECONDS).state()
    for later in ("incomplete", "different", "corrected"):
        del state[later]
    assert Account.of(SECONDS, state).totals().lost == 10


def revised(first_ms: int, last_ms: int, detail: str | None) -> LedgerMessage:
    return bars("revised", first_ms, last_ms, "1s") | {"detail": detail}


def test_bars_that_their_trades_contradict_are_lost_although_stored_until_they_are_corrected() -> None:
    whole = [bars("expected", 0, 9_000, "1s"), bars("stored", 0, 9_000, "1s")]
    wrong, right = revised(3_000, 5_000, "trades say close 1"), revised(4_000, 4_000, AS_TRADES_SAY)
    for order in ([*whole, wrong], [wrong, *whole], [*whole, wrong, *whole]):
        completeness = entered(*order)
        totals = completeness.totals()[SECONDS]
        assert (totals.expected, totals.lost, totals.lost_ranges) == (10, 3, ((3_000, 5_000),))
        assert changed_rows(completeness)[SECONDS, 0].lost == 3
        assert completeness.receive(right) is None
        assert completeness.totals()[SECONDS].lost_ranges == ((3_000, 3_000), (5_000, 5_000))
        assert changed_rows(completeness)[SECONDS, 0].lost == 2
        account = completeness.account(SECONDS)
        assert list(account.wrong()) == [(3, 3), (5, 5)]
        assert Account.of(SECONDS, account.state()).totals() == completeness.totals()[SECONDS]
        assert list(Account.of(SECONDS, account.state()).wrong()) == [(3, 3), (5, 5)]


def test_a_bar_that_was_corrected_is_still_lost_in_part_if_it_is_incomplete() -> None:
    entries = [
        bars("expected", 0, 0, "1s"),
        bars("stored", 0, 0, "1s"),
        bars("incomplete", 0, 0, "1s"),
        revised(0, 0, "trades say close 1"),
        revised(0, 0, AS_TRADES_SAY),
    ]
    for order in permutations(entries):
        assert entered(*order).totals()[SECONDS].lost == 1


@pytest.mark.parametrize(
    "detail",
    [
        None,
        "trade 7 came after its end",
        "it was published before a restart, and without all of its trades",
        "the bar arrived again with other values",
        "indicators were rebuilt and sum from 1 instead of 2",
        "close 1, now 2",
    ],
)
def test_bars_that_are_revised_otherwise_are_right_as_they_are_stored(detail: str | None) -> None:
    completeness = entered(
        bars("expected", 0, 9_000, "1s"), bars("stored", 0, 9_000, "1s"), revised(3_000, 3_000, detail)
    )
    assert completeness.totals()[SECONDS].lost == 0 and not completeness.account(SECONDS).wrong()


def test_a_minute_of_trades_has_the_ids_that_were_expected_in_it() -> None:
    completeness = entered(
        event("expected", 1, 60, event_time_ms=NOW_MS),
        event("expected", 61, 90, event_time_ms=NOW_MS + 59_999),
        event("expected", 91, 95, event_time_ms=NOW_MS + 60_000),
        event("stored", 1, 93),
        event("duplicate", 92, 92),
    )
    assert changed_rows(completeness) == {
        (TRADES, NOW_MS): MinuteRow(90, 90, 0, 0, 0, 0),
        (TRADES, NOW_MS + 60_000): MinuteRow(5, 3, 0, 0, 2, 1),
    }
    assert completeness.take_changed() == {}


def test_what_was_stored_before_it_was_expected_counts_in_its_minute() -> None:
    completeness = entered(event("stored", 1, 5), event("expected", 1, 5))
    assert changed_rows(completeness) == {(TRADES, NOW_MS): MinuteRow(5, 5, 0, 0, 0, 0)}


def test_what_is_repaired_over_a_minutes_end_counts_in_one_row() -> None:
    later_ms = NOW_MS + 60_000
    completeness = entered(
        event("expected", 1, 10),
        event("stored", 1, 10),
        # 11 to 39 are missing when 40 comes, after the minute; REST has 11 to 37, of the minute.
        event("expected", 11, 39, event_time_ms=later_ms),
        event("expected", 40, 40, event_time_ms=later_ms),
        event("stored", 40, 40),
    )
    before = changed_rows(completeness)
    assert before[TRADES, later_ms] == MinuteRow(30, 1, 0, 0, 29, 0)
    for message in (event("expected", 11, 37), event("repaired", 11, 37), event("stored", 11, 37)):
        completeness.receive(message)
    assert changed_rows(completeness) == {
        (TRADES, NOW_MS): MinuteRow(37, 37, 27, 0, 0, 0),
        (TRADES, later_ms): MinuteRow(3, 1, 0, 0, 2, 0),
    }


def test_a_row_of_which_all_ids_were_of_another_minute_is_taken_back() -> None:
    later_ms = NOW_MS + 60_000
    completeness = entered(event("expected", 1, 1), event("expected", 2, 5, event_time_ms=later_ms))
    assert changed_rows(completeness)[TRADES, later_ms] == MinuteRow(4, 0, 0, 0, 4, 0)
    completeness.receive(event("expected", 2, 5))
    assert changed_rows(completeness) == {
        (TRADES, NOW_MS): MinuteRow(5, 0, 0, 0, 5, 0),
        (TRADES, later_ms): MinuteRow(0, 0, 0, 0, 0, 0),
    }


def test_rows_of_a_minute_in_which_ids_begin_anew_and_those_around_it_count_once() -> None:
    anew, later_ms = EPOCH_SPAN + 1, NOW_MS + 60_000
    completeness = entered(
        event("expected", 100, 109),
        event("expected", anew, anew + 9),
        # Missing of the new numbering, and what followed on it.
        event("expected", anew + 10, anew + 30, event_time_ms=later_ms),
        # Of the old one more is found to be missing, dated by the trade that was first of the new one.
        event("expected", 110, 112, event_time_ms=later_ms),
        event("expected", anew + 10, anew + 14),
        event("stored", 100, 112),
        event("stored", anew, anew + 30),
    )
    rows = changed_rows(completeness)
    assert rows == {
        (TRADES, NOW_MS): MinuteRow(25, 25, 0, 0, 0, 0),
        (TRADES, later_ms): MinuteRow(19, 19, 0, 0, 0, 0),
    }


def test_a_minute_of_klines_has_the_bars_that_open_in_it() -> None:
    completeness = entered(
        bars("expected", NOW_MS, NOW_MS + 61_000, "1s"),
        bars("stored", NOW_MS + 1_000, NOW_MS + 61_000, "1s"),
    )
    assert changed_rows(completeness) == {
        (SECONDS, NOW_MS): MinuteRow(60, 59, 0, 0, 1, 0),
        (SECONDS, NOW_MS + 60_000): MinuteRow(2, 2, 0, 0, 0, 0),
    }
    assert completeness.totals()[SECONDS].lost_ranges == ((NOW_MS, NOW_MS),)


def test_long_bars_appear_in_the_minutes_that_they_open_in() -> None:
    hour_ms = NOW_MS - NOW_MS % 3_600_000
    completeness = entered(bars("expected", hour_ms, hour_ms + 2 * 3_600_000, "1h"))
    assert changed_rows(completeness) == {
        (HOURS, hour_ms + n * 3_600_000): MinuteRow(1, 0, 0, 0, 1, 0) for n in range(3)
    }


def test_a_bar_of_long_ago_changes_the_row_of_its_minute() -> None:
    year_ms = 365 * 24 * 3_600_000
    completeness = entered(
        bars("expected", NOW_MS - year_ms, NOW_MS - year_ms, "1m"), bars("expected", NOW_MS, NOW_MS, "1m")
    )
    completeness.take_changed()
    completeness.receive(bars("stored", NOW_MS - year_ms, NOW_MS - year_ms, "1m"))
    assert list(changed_rows(completeness).values()) == [MinuteRow(1, 1, 0, 0, 0, 0)]


def test_one_event_does_not_cause_rows_without_end() -> None:
    completeness = entered(bars("expected", 0, NOW_MS - NOW_MS % 60_000, "1m"))
    assert sum(periods.id_count() for periods in completeness.take_changed().values()) == 100_000


def test_a_time_of_the_future_makes_no_minute_old() -> None:
    far_ms = 8 * 24 * 3_600_000
    completeness = entered(
        event("expected", 1, 1, event_time_ms=NOW_MS + far_ms), event("expected", 2, 2), event("stored", 1, 2)
    )
    assert changed_rows(completeness)[TRADES, NOW_MS].stored == 1
    minute_ms = NOW_MS - NOW_MS % 60_000
    far_open_ms = minute_ms + far_ms
    completeness = entered(
        bars("expected", far_open_ms, far_open_ms, "1m"), bars("expected", minute_ms, minute_ms, "1m")
    )
    assert minute_ms in {at for _, at in changed_rows(completeness)}


def test_streams_without_ids_are_not_counted() -> None:
    assert entered(event("unsynced", 1, 2, stream="depth")).totals() == {}


@pytest.mark.parametrize("series", [{"stream": "trades"}, {"stream": "klines", "interval": "1m"}])
def test_a_span_that_a_stream_was_not_carried_is_no_set_of_ids(series: dict[str, Any]) -> None:
    span = ledger(kind="uncarried", first=NOW_MS, last=NOW_MS + 60_000, count=0, **series)
    assert entered(span).totals() == {}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"first": 2, "last": 1}, "ends before it begins"),
        ({"first": -2, "last": 1}, "begins below 0"),
        ({"stream": "klines", "interval": None}, "interval None is not one of"),
        ({"stream": "klines", "interval": "7m"}, "interval '7m' is not one of"),
        ({"interval": "1m"}, "stream trades has no interval"),
    ],
)
def test_an_event_that_makes_no_sense_is_left_out(fields: dict[str, Any], reason: str) -> None:
    completeness = CompletenessLedger()
    assert reason in str(completeness.receive(ledger(**fields)))
    assert completeness.totals() == {}


def test_memory_is_bounded_and_what_is_settled_stays_counted() -> None:
    completeness = CompletenessLedger(max_ranges=10)
    for number in range(100):
        completeness.receive(event("expected", 10 * number, 10 * number + 4))
        completeness.receive(event("stored", 10 * number, 10 * number + 3))
    totals = completeness.totals()[TRADES]
    assert (totals.expected, totals.lost) == (500, 100)
    assert len(totals.lost_ranges) <= 10
    before = completeness.totals()
    completeness.receive(event("stored", 0, 4))
    assert completeness.totals() == before


def test_bars_are_expected_by_the_exchanges_clock_also_while_nobody_brings_them() -> None:
    completeness = entered(bars("expected", NOW_MS, NOW_MS, "1m"), bars("stored", NOW_MS, NOW_MS, "1m"))
    series = SECONDS._replace(interval="1m")
    assert completeness.expect_by_clock(NOW_MS + 2 * 60_000 + 59_999) == []  # producers have a minute
    assert completeness.silent_since() == {}
    assert completeness.expect_by_clock(NOW_MS + 4 * 60_000) == [series]
    assert completeness.totals()[series].lost_ranges == ((NOW_MS + 60_000, NOW_MS + 2 * 60_000),)
    assert completeness.silent_since() == {series: NOW_MS + 60_000}
    completeness.take_changed()
    # The producer is back, and says that it was off.
    completeness.receive(bars("offline", NOW_MS + 60_000, NOW_MS + 3 * 60_000, "1m"))
    assert completeness.silent_since() == {}
    assert completeness.totals()[series].lost == 0
    assert set(changed_rows(completeness)) == {(series, NOW_MS + n * 60_000) for n in (1, 2, 3)}


def test_trades_of_a_silent_producer_are_unknown_from_its_last_bar_on() -> None:
    hour_ms = NOW_MS - NOW_MS % 3_600_000 - 3_600_000
    completeness = entered(
        event("expected", 1, 9),
        bars("expected", NOW_MS, NOW_MS, "1s"),
        bars("expected", hour_ms, hour_ms, "1h"),
    )
    completeness.expect_by_clock(NOW_MS + 100_000)
    assert completeness.silent_since() == {SECONDS: NOW_MS + 1_000, TRADES: NOW_MS + 1_000}


def test_who_stopped_in_good_order_is_not_blamed_for_what_came_after() -> None:
    completeness = entered(
        bars("expected", NOW_MS, NOW_MS, "1s"),
        event("expected", 1, 9),
        bars("stopped", NOW_MS + 500, NOW_MS + 500, "1s"),
        event("stopped", NOW_MS + 500, NOW_MS + 500),
    )
    assert completeness.expect_by_clock(NOW_MS + 10**9) == []
    assert completeness.silent_since() == {}
    completeness.receive(bars("expected", NOW_MS + 1_000, NOW_MS + 1_000, "1s"))
    assert completeness.expect_by_clock(NOW_MS + 10**9) == [SECONDS]


KINDS = ("expected", "stored", "repaired", "halted", "offline", "duplicate", "lost", "incomplete", "gap")
EVENTS = st.lists(
    st.builds(
        lambda kind, first, length: event(kind, first, first + length, event_time_ms=NOW_MS),
        st.sampled_from(KINDS),
        st.integers(0, 60),
        st.integers(0, 15),
    ),
    max_size=25,
)


BAR_EVENTS = st.lists(
    st.builds(
        lambda kind, first, length, detail: event(
            kind, first * 1_000, (first + length) * 1_000, stream="klines", interval="1s", detail=detail
        ),
        st.sampled_from((*KINDS, "revised")),
        st.integers(0, 60),
        st.integers(0, 15),
        st.sampled_from((None, "trades say high 7", AS_TRADES_SAY)),
    ),
    max_size=25,
)


@given(BAR_EVENTS, st.randoms())
def test_order_and_repetition_change_nothing_of_bars(messages: list[LedgerMessage], chance: Any) -> None:
    once = entered(*messages)
    shuffled = messages * 2
    chance.shuffle(shuffled)
    assert entered(*shuffled).totals() == once.totals()


@given(EVENTS, st.randoms())
def test_order_and_repetition_change_nothing(messages: list[LedgerMessage], chance: Any) -> None:
    once = entered(*messages)
    shuffled = messages * 2
    chance.shuffle(shuffled)
    assert entered(*shuffled).totals() == once.totals()


@given(EVENTS)
def test_totals_are_those_of_plain_sets(messages: list[LedgerMessage]) -> None:
    sets: dict[str, set[int]] = {kind: set() for kind in KINDS}
    for message in messages:
        sets[message["kind"]] |= set(range(message["first"], message["last"] + 1))
    expected = sets["expected"] | sets["lost"] | sets["incomplete"]
    accounted = (sets["stored"] | sets["halted"] | sets["offline"]) - sets["incomplete"]
    totals = entered(*messages).totals().get(TRADES, Totals(0, 0, 0, 0, 0, 0, 0))
    assert totals[:7] == (
        len(expected),
        len(sets["stored"]),
        len(sets["repaired"]),
        len(sets["halted"] - sets["stored"]),
        len(sets["offline"] - sets["stored"]),
        len(expected - accounted),
        len(sets["duplicate"]),
    )


TIMED_EVENTS = st.lists(
    st.builds(
        lambda kind, first, length, minute: event(
            kind, first, first + length, event_time_ms=NOW_MS + minute * 60_000
        ),
        st.sampled_from(KINDS),
        st.integers(0, 60),
        st.integers(0, 15),
        st.integers(0, 3),
    ),
    max_size=25,
)


@given(TIMED_EVENTS)
def test_rows_as_they_were_written_claim_no_id_twice(messages: list[LedgerMessage]) -> None:
    completeness, written = CompletenessLedger(), dict[tuple[LedgerSeries, int], MinuteRow]()
    for message in messages:
        completeness.receive(message)
        written |= changed_rows(completeness)
    periods = range(NOW_MS // period_ms(TRADES), NOW_MS // period_ms(TRADES) + 4)
    assert {((TRADES, at), row) for at, row in completeness.rows(TRADES, periods)} == set(written.items())
    totals = completeness.totals().get(TRADES, Totals(0, 0, 0, 0, 0, 0, 0))
    sums = [sum(of_kind) for of_kind in zip(*written.values(), strict=True)] or [0] * 6
    assert sums[1] <= totals.stored
    if all(message["kind"] == "expected" for message in messages):
        assert sums[0] == totals.expected


@given(EVENTS)
def test_rows_change_only_where_they_say_so(messages: list[LedgerMessage]) -> None:
    completeness, written = CompletenessLedger(), dict[tuple[LedgerSeries, int], MinuteRow]()
    for message in messages:
        completeness.receive(message)
        written |= changed_rows(completeness)
    period = NOW_MS // period_ms(TRADES)
    assert [((TRADES, at), row) for at, row in completeness.rows(TRADES, [period])] == list(written.items())


def sums(completeness: CompletenessLedger) -> tuple[int, int, int]:
    """Expected, stored and lost trades of all rows together."""
    rows = [row for (series, _), row in changed_rows(completeness).items() if series == TRADES]
    return sum(row.expected for row in rows), sum(row.stored for row in rows), sum(row.lost for row in rows)


def undated(kind: str, first: int, last: int) -> LedgerMessage:
    return event(kind, first, last, event_time_ms=None)


@pytest.mark.parametrize(
    "events",
    [
        pytest.param(
            [event("expected", 1, 100), undated("stored", 1, 100), undated("expected", 101, 120)],
            id="after the last dated one",
        ),
        pytest.param(
            [undated("expected", 1, 20), event("expected", 21, 120), undated("stored", 21, 120)],
            id="before the first dated one",
        ),
        pytest.param([undated("expected", 1, 120), undated("stored", 1, 100)], id="none is dated"),
        pytest.param(
            [
                event("expected", 1, 100),
                undated("stored", 1, 100),
                undated("expected", EPOCH_SPAN + 1, EPOCH_SPAN + 20),
            ],
            id="of a later numbering",
        ),
        pytest.param(
            [
                event("expected", 1, 90),
                undated("expected", 91, 100),
                event("expected", EPOCH_SPAN + 1, EPOCH_SPAN + 20),
                undated("stored", 1, 100),
            ],
            id="the last ones of an earlier numbering",
        ),
    ],
)
def test_undated_trades_are_in_a_row_too(events: list[LedgerMessage]) -> None:
    assert sums(entered(*events)) == (120, 100, 20)


def test_undated_trades_leave_the_minute_before_them_for_that_of_what_follows() -> None:
    later_ms = NOW_MS + 60_000
    completeness = entered(event("expected", 1, 10), undated("expected", 11, 20))
    changed_rows(completeness)
    completeness.receive(event("expected", 15, 15, event_time_ms=later_ms))
    rows = {minute_ms - NOW_MS: row.expected for (_, minute_ms), row in changed_rows(completeness).items()}
    assert rows == {0: 10, 60_000: 10}


def test_undated_trades_leave_the_minute_that_they_were_heard_of_when_one_is_dated() -> None:
    later_ms = NOW_MS + 60_000
    completeness = entered(undated("expected", 1, 20))
    changed_rows(completeness)
    completeness.receive(event("expected", 21, 21, event_time_ms=later_ms))
    rows = {minute_ms - NOW_MS: row.expected for (_, minute_ms), row in changed_rows(completeness).items()}
    assert rows == {0: 0, 60_000: 21}


def test_a_new_minute_changes_no_row_of_the_one_before() -> None:
    completeness = entered(event("expected", 1, 10), undated("stored", 1, 10))
    changed_rows(completeness)
    completeness.receive(event("expected", 11, 20, event_time_ms=NOW_MS + 60_000))
    assert list(changed_rows(completeness)) == [(TRADES, NOW_MS + 60_000)]


MINUTES = st.none() | st.integers(0, 4).map(lambda minute: NOW_MS + minute * 60_000)
TOLD = st.tuples(
    st.sampled_from(("expected", "stored", "lost", "halted", "offline", "repaired")),
    st.sampled_from((0, EPOCH_SPAN, 2 * EPOCH_SPAN)),
    st.integers(0, 40),
    st.integers(0, 12),
    MINUTES,
)


@given(st.lists(TOLD, max_size=25))
def test_the_rows_that_were_written_sum_up_to_the_totals(
    told: list[tuple[str, int, int, int, int | None]],
) -> None:
    completeness = CompletenessLedger()
    written: dict[tuple[LedgerSeries, int], MinuteRow] = {}
    for kind, numbering, first, length, time_ms in told:
        ids = numbering + first, numbering + first + length
        completeness.receive(event(kind, *ids, event_time_ms=time_ms))
        written |= changed_rows(completeness)
        totals = completeness.totals()[TRADES]
        if totals.expected:
            assert sum(row.expected for row in written.values()) == totals.expected
            assert sum(row.stored for row in written.values()) == totals.stored
            assert sum(row.lost for row in written.values()) == totals.lost
    if TRADES in completeness:
        account = completeness.account(TRADES)
        assert account.issued_between(None, None).id_count() >= account.expected.id_count()
        again = Account.of(TRADES, account.state())
        assert again.state() == account.state()
