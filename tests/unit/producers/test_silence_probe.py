"""Streams that die, one by one: what proves it, how soon, and what a quiet market does not prove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from producers.effects import ProbeResult, ProbeStreams
from producers.exchanges.port import Pace
from producers.newest_messages import NewestMessages
from producers.silence_probe import SilenceProbe
from producers.stream_health import DEPTH, QUOTE, TRADE, Entry, StreamKey
from shared.messages import CARRIED_AGAIN
from tests.builders import NOW_MS, depth, kline, quote, trade

SECOND: StreamKey = ("kline", "1s")
BEST = ((100.0, 1.0), (101.0, 2.0))
NOTICED_S = 15


class Stage:
    """A probe and its seconds; what its streams bring is said by the tests."""

    def __init__(self, *intervals: str, pace: Pace | None = None, before: Sequence[Entry] = ()) -> None:
        keys = [*(("kline", interval) for interval in intervals), TRADE, DEPTH, QUOTE]
        self.newest = NewestMessages(dict.fromkeys(keys))
        self.now_s = 0.0
        self.probe = SilenceProbe(self.newest, 0.0, NOW_MS, pace, before=before)
        self.best: Any = BEST
        self.probes: list[tuple[float, ProbeStreams]] = []
        self.trade_id = 100
        self.update_id = 1_000
        self.closed = False

    @property
    def now_ms(self) -> int:
        return NOW_MS + int(self.now_s * 1000)

    def bring(self, *streams: StreamKey) -> None:
        """A second of an exchange that trades and quotes, as these streams bring it."""
        self.trade_id += 3
        self.update_id += 10
        made = {
            "kline": kline(
                interval="1s",
                trade_count=3,
                first_trade_id=self.trade_id - 2,
                last_trade_id=self.trade_id,
                event_time_ms=self.now_ms,
            ),
            "trade": trade(trade_id=self.trade_id),
            "depth": depth(first_update_id=self.update_id - 9, final_update_id=self.update_id),
            "quote": quote(update_id=self.update_id),
        }
        for stream in streams:
            self.newest[stream] = made[stream[0]]

    def second(self, *streams: StreamKey) -> set[StreamKey]:
        """What is not carried after one more second that brings these streams."""
        self.now_s += 1
        if streams:
            self.bring(*streams)
        effects = self.probe.tick(self.now_s, self.now_ms, self.best, closed=self.closed)
        self.probes += [(self.now_s, effect) for effect in effects if isinstance(effect, ProbeStreams)]
        return {uncarried.stream for uncarried in self.probe.uncarried}

    def seconds(self, count: int, *streams: StreamKey) -> set[StreamKey]:
        found: set[StreamKey] = set()
        for _ in range(count):
            found = self.second(*streams)
        return found

    def answer(self, **fields: Any) -> None:
        """REST's answer to the look of this second."""
        self.probe.receive_probe(ProbeResult(**fields), self.now_s, self.now_ms)


def test_all_streams_that_speak_are_carried_and_rest_is_not_asked() -> None:
    stage = Stage("1s")
    assert stage.seconds(300, SECOND, TRADE, DEPTH, QUOTE) == set()
    assert (stage.probes, stage.probe.issued, stage.probe.health.take_entries()) == ([], None, [])


def test_trades_that_bars_count_and_the_stream_does_not_bring_are_noticed_and_fetched() -> None:
    stage = Stage("1s")
    stage.seconds(20, SECOND, TRADE, DEPTH, QUOTE)
    seen = stage.trade_id
    for _ in range(NOTICED_S):
        if TRADE in stage.second(SECOND, DEPTH, QUOTE):
            break
    [uncarried] = stage.probe.uncarried
    assert uncarried.stream == TRADE
    assert f"the stream is at {seen}" in uncarried.why
    assert stage.probe.issued == (stage.trade_id, stage.now_ms)
    assert stage.probes == []


def test_what_bars_knew_of_an_earlier_numbering_is_not_held_against_the_stream() -> None:
    stage = Stage("1s")
    stage.seconds(20, SECOND, TRADE, DEPTH, QUOTE)
    # The first trade of the new numbering is here before the bar that counts it.
    stage.newest[TRADE] = trade(trade_id=1)
    stage.second()
    stage.trade_id = 0
    stage.seconds(2, SECOND, TRADE, DEPTH, QUOTE)
    for _ in range(NOTICED_S):
        assert TRADE not in stage.second(DEPTH, QUOTE)
    assert stage.probe.issued is None


def test_a_numbering_that_began_anew_unseen_by_bars_is_not_held_to_the_one_before() -> None:
    stage = Stage("1s")
    stage.seconds(20, SECOND, TRADE, DEPTH, QUOTE)
    stage.second(SECOND, DEPTH, QUOTE)  # of a trade that the stream has not brought when it goes away
    stage.now_s += 3
    empty = {"trade_count": 0, "first_trade_id": -1, "last_trade_id": -1}
    for _ in range(NOTICED_S):
        stage.newest[SECOND] = kline(interval="1s", **empty, event_time_ms=stage.now_ms)
        if stage.newest[TRADE]["trade_id"] > 12:
            stage.newest[TRADE] = trade(trade_id=12, trade_time_ms=stage.now_ms)
        assert TRADE not in stage.second(DEPTH, QUOTE)
    assert stage.probe.issued is None


def test_a_bar_that_is_later_than_the_newest_trade_and_counts_lower_ids_shows_ids_begun_anew() -> None:
    stage = Stage("1s")
    stage.seconds(20, SECOND, TRADE, DEPTH, QUOTE)
    stage.newest[TRADE] = trade(trade_id=160, trade_time_ms=stage.now_ms)
    opened_ms = stage.now_ms + 2_000
    bar = {"interval": "1s", "trade_count": 40, "first_trade_id": 130, "last_trade_id": 169}
    for _ in range(NOTICED_S):
        stage.newest[SECOND] = kline(**bar, open_time_ms=opened_ms, event_time_ms=stage.now_ms + 3_000)
        if TRADE in stage.second(DEPTH, QUOTE):
            break
    [uncarried] = stage.probe.uncarried
    assert "a bar after trade 160 counts trades from 130 on" in uncarried.why
    # They may reach beyond what we have, and are none of its followers.
    assert stage.probe.issued is None
    assert stage.probe.later_bar is not None and stage.probe.later_bar[:3] == (130, 169, opened_ms)


def test_what_is_not_brought_is_fetched_up_to_the_newest_at_a_steady_pace() -> None:
    stage = Stage("1s", pace=Pace(fill_s=10.0))
    stage.seconds(20, SECOND, TRADE, DEPTH, QUOTE)
    fetched = []
    for _ in range(60):
        stage.second(SECOND, DEPTH, QUOTE)
        if stage.probe.issued is not None:
            fetched.append(stage.probe.issued[0])
            assert fetched[-1] == stage.trade_id
            stage.probe.issued = None
    assert 5 <= len(fetched) <= 6


def test_a_series_that_never_had_a_trade_begins_after_the_first_bars_newest() -> None:
    stage = Stage("1s")
    stage.second(SECOND, DEPTH, QUOTE)
    base = stage.trade_id
    assert TRADE in stage.seconds(NOTICED_S, SECOND, DEPTH, QUOTE)
    assert stage.probe.trade_base == base


def test_a_bar_whose_ids_do_not_fit_its_count_proves_nothing() -> None:
    stage = Stage("1s")
    stage.seconds(5, SECOND, TRADE, DEPTH, QUOTE)
    stage.newest[SECOND] = kline(interval="1s", trade_count=3, first_trade_id=1, last_trade_id=10**9)
    assert stage.seconds(7, DEPTH, QUOTE) == set()
    assert stage.probe.issued is None


def test_a_quiet_market_is_looked_at_and_found_quiet() -> None:
    stage = Stage("1h")
    stage.seconds(5, TRADE, DEPTH, QUOTE)
    for _ in range(600):
        before = len(stage.probes)
        assert stage.second() == set()
        if len(stage.probes) > before:
            probe = stage.probes[-1][1]
            assert probe == ProbeStreams(trades=True, book=True, since_ms=None)
            stage.answer(newest_trade=stage.trade_id, update_id=stage.update_id, best=BEST)
    assert len(stage.probes) == 60


def test_a_connection_that_dies_is_noticed_by_what_rest_has() -> None:
    stage = Stage("1h")
    stage.seconds(5, TRADE, DEPTH, QUOTE)
    found: set[StreamKey] = set()
    for _ in range(NOTICED_S):
        before = len(stage.probes)
        found = stage.second()
        if len(stage.probes) > before:
            stage.answer(
                newest_trade=stage.trade_id + 9, update_id=stage.update_id + 9, best=((99.0, 1.0), BEST[1])
            )
    assert found == {TRADE, DEPTH, QUOTE}
    assert stage.probe.issued is not None and stage.probe.issued[0] == stage.trade_id + 9
    assert stage.probe.lost_book is not None


def test_what_rest_has_counts_although_a_bar_of_before_the_end_of_all_streams_knew_less() -> None:
    stage = Stage("1s")
    stage.seconds(20, SECOND, TRADE, DEPTH, QUOTE)
    ended_s, newest = stage.now_s, stage.trade_id
    stage.newest[TRADE] = trade(trade_id=newest - 2, trade_time_ms=stage.now_ms)  # the bar has the rest
    uncarried: set[StreamKey] = set()
    while stage.probe.issued is None or stage.probe.issued[0] < newest + 9:
        assert stage.now_s < ended_s + 60
        looked = len(stage.probes)
        uncarried = stage.second()
        if len(stage.probes) > looked:
            stage.answer(newest_trade=newest + 9)
    assert TRADE in uncarried


def test_a_connection_that_never_speaks_is_noticed_by_what_was_issued_since() -> None:
    stage = Stage("1h")
    stage.best = None
    found: set[StreamKey] = set()
    for second in range(NOTICED_S + 5):
        before = len(stage.probes)
        found = stage.second()
        if len(stage.probes) > before:
            probe = stage.probes[-1][1]
            assert probe.since_ms == (NOW_MS if len(stage.probes) == 1 else None)
            first = 501 if probe.since_ms is not None else None
            best = ((99.0 + second, 1.0), BEST[1])
            stage.answer(first_trade=first, newest_trade=510 + second, update_id=7_000 + second, best=best)
    assert found == {TRADE, DEPTH, QUOTE}
    assert stage.probe.trade_base == 500


def test_a_trade_that_rest_has_a_moment_before_the_stream_proves_nothing() -> None:
    stage = Stage("1h")
    stage.seconds(5, TRADE, DEPTH, QUOTE)
    while not stage.probes:
        stage.second()
    stage.answer(newest_trade=stage.trade_id + 3, update_id=stage.update_id + 10, best=BEST)
    stage.second()
    assert stage.seconds(5, TRADE, DEPTH, QUOTE) == set()
    assert stage.probe.issued is None


def test_a_book_whose_quotes_go_on_without_diffs_is_given_up() -> None:
    stage = Stage("1s")
    stage.seconds(20, SECOND, TRADE, DEPTH, QUOTE)
    assert stage.seconds(NOTICED_S, SECOND, TRADE, QUOTE) == {DEPTH}
    assert "a quote has book update" in str(stage.probe.lost_book)
    assert stage.probes == []


def test_quotes_that_do_not_follow_the_book_are_not_carried() -> None:
    stage = Stage("1s")
    stage.seconds(20, SECOND, TRADE, DEPTH, QUOTE)
    assert stage.seconds(60, SECOND, TRADE, DEPTH) == set(), "the best prices have not changed"
    stage.best = ((100.0, 3.0), (101.0, 2.0))
    assert stage.seconds(NOTICED_S, SECOND, TRADE, DEPTH) == {QUOTE}


def test_a_quote_of_one_side_is_not_the_book_of_two() -> None:
    stage = Stage("1s")
    stage.seconds(20, SECOND, TRADE, DEPTH, QUOTE)
    stage.probe.newest[QUOTE] = quote(update_id=stage.update_id, bid_price=None, bid_quantity=None)
    assert stage.seconds(NOTICED_S, SECOND, TRADE, DEPTH) == {QUOTE}


def test_bars_that_only_rest_brings_are_not_carried() -> None:
    stage = Stage("1s")
    stage.seconds(20, SECOND, TRADE, DEPTH, QUOTE)
    closed_ms = stage.now_ms + 1_000
    stage.seconds(9, TRADE, DEPTH, QUOTE)
    stage.probe.receive_bars("1s", closed_ms, stage.now_s, stage.now_ms)
    [uncarried] = stage.probe.uncarried
    assert (str(uncarried), uncarried.since_ms) == ("klines 1s", NOW_MS + 20_000)
    assert uncarried.why == "REST has bars up to the one that closed 8 s ago"


def test_bars_of_before_the_last_event_prove_nothing() -> None:
    stage = Stage("1s")
    stage.seconds(20, SECOND, TRADE, DEPTH, QUOTE)
    stage.probe.receive_bars("1s", stage.now_ms - 500, stage.now_s + 9, stage.now_ms + 9_000)
    assert stage.probe.uncarried == []


def test_the_ledger_is_told_at_once_then_every_minute_and_when_it_is_over() -> None:
    stage = Stage("1s")
    stage.seconds(20, SECOND, TRADE, DEPTH, QUOTE)
    stage.seconds(150, SECOND, DEPTH, QUOTE)
    stage.second(SECOND, TRADE, DEPTH, QUOTE)
    entries = stage.probe.health.take_entries()
    assert [entry.detail.endswith(CARRIED_AGAIN) for entry in entries] == [False, False, False, True]
    assert {(entry.stream, entry.since_ms) for entry in entries} == {(TRADE, NOW_MS + 20_000)}
    assert entries[-1].until_ms == stage.now_ms
    assert stage.probe.uncarried == []


def test_what_is_not_carried_at_the_end_is_told_once_more() -> None:
    stage = Stage("1s")
    stage.seconds(20, SECOND, TRADE, DEPTH, QUOTE)
    stage.seconds(NOTICED_S, SECOND, DEPTH, QUOTE)
    stage.probe.health.take_entries()
    stage.probe.conclude(stage.now_ms)
    [entry] = stage.probe.health.take_entries()
    assert (entry.stream, entry.until_ms) == (TRADE, stage.now_ms)
    assert not entry.detail.endswith(CARRIED_AGAIN)


def test_a_closed_exchange_owes_nothing() -> None:
    stage = Stage("1s")
    stage.seconds(20, SECOND, TRADE, DEPTH, QUOTE)
    stage.closed = True
    assert stage.seconds(600) == set()
    assert stage.probes == []


def test_at_the_end_what_a_bar_counts_is_fetched_without_a_grace() -> None:
    stage = Stage("1s")
    stage.seconds(20, SECOND, TRADE, DEPTH, QUOTE)
    stage.bring(SECOND)
    assert stage.probe.last_probe(stage.now_s) == []
    assert stage.probe.issued == (stage.trade_id, stage.now_ms)


def fetched_while_away() -> Stage:
    """A quiet symbol whose last trade no connection has brought; a bar tells of it."""
    stage = Stage("1s")
    stage.second(SECOND, TRADE, DEPTH, QUOTE)
    stage.seconds(4)
    stage.bring(SECOND, DEPTH, QUOTE)
    assert TRADE in stage.seconds(NOTICED_S)
    return stage


def returns(stage: Stage, complete_to: int | None, seconds: int = 15) -> bool:
    for _ in range(seconds):
        stage.second()
        stage.probe.check_return(complete_to, stage.now_s, stage.now_ms)
    return not stage.probe.health.is_uncarried(TRADE)


def test_a_quiet_stream_is_carried_again_once_all_is_fetched_and_another_connection_is_open() -> None:
    stage = fetched_while_away()
    assert not returns(stage, stage.trade_id), "the connection is the one that has not brought it"
    stage.probe.reopened(stage.now_s)
    assert returns(stage, stage.trade_id)
    assert not stage.seconds(60) & {TRADE}, "what was fetched proves nothing again"
    assert stage.probe.health.take_entries()[-1].detail.endswith(CARRIED_AGAIN)


def test_it_is_not_while_something_is_missing() -> None:
    stage = fetched_while_away()
    stage.probe.reopened(stage.now_s)
    assert not returns(stage, None)
    assert not returns(stage, stage.trade_id - 1)


def test_a_connection_that_does_not_bring_the_next_trade_either_is_no_return() -> None:
    stage = fetched_while_away()
    stage.probe.reopened(stage.now_s)
    assert not returns(stage, stage.trade_id, 8)
    stage.bring(SECOND)
    assert not returns(stage, stage.trade_id, 30)


def test_trades_after_a_return_are_held_to_other_sources_again() -> None:
    stage = fetched_while_away()
    stage.probe.reopened(stage.now_s)
    assert returns(stage, stage.trade_id)
    assert TRADE in stage.seconds(NOTICED_S, SECOND, DEPTH, QUOTE)


def test_a_late_trade_after_a_return_is_none_that_the_stream_has_stopped_at() -> None:
    stage = fetched_while_away()
    stage.probe.reopened(stage.now_s)
    assert returns(stage, stage.trade_id)
    stage.newest.put_trade(trade(trade_id=stage.trade_id - 1), stage.trade_id)
    assert TRADE not in stage.seconds(NOTICED_S)


def test_two_trades_in_the_wrong_order_before_a_quiet_time_prove_nothing() -> None:
    stage = Stage("1s")
    stage.seconds(20, SECOND, TRADE, DEPTH, QUOTE)
    stage.bring(SECOND, DEPTH, QUOTE)
    stage.newest.put_trade(trade(trade_id=stage.trade_id), stage.trade_id - 1)
    stage.newest.put_trade(trade(trade_id=stage.trade_id - 1), stage.trade_id)
    assert TRADE not in stage.seconds(60)
    assert (stage.probe.issued, stage.probe.health.take_entries()) == (None, [])
    assert TRADE in stage.seconds(NOTICED_S, SECOND, DEPTH, QUOTE), "and later trades are missed as ever"


# -- what an earlier process has left open

LEFT_MS = NOW_MS - 100_000


def left_open(stream: StreamKey = TRADE) -> Stage:
    return Stage("1s", before=[Entry(stream, LEFT_MS, LEFT_MS + 9_000, "a bar has trade 5")])


def test_a_span_left_open_ends_with_the_first_message_of_its_stream() -> None:
    stage = left_open()
    assert stage.seconds(3, SECOND, DEPTH, QUOTE) == {TRADE}
    assert stage.probe.health.take_entries() == []
    stage.second(SECOND, TRADE, DEPTH, QUOTE)
    until_ms = stage.now_ms
    stage.seconds(90, SECOND, TRADE, DEPTH, QUOTE)
    assert stage.probe.health.take_entries() == [
        Entry(TRADE, LEFT_MS, until_ms, f"a bar has trade 5{CARRIED_AGAIN}")
    ]


def test_a_span_left_open_goes_on_as_long_as_nothing_proves_otherwise() -> None:
    stage = left_open(QUOTE)
    assert QUOTE in stage.seconds(125, SECOND, TRADE, DEPTH)
    entries = [entry for entry in stage.probe.health.take_entries() if entry.stream == QUOTE]
    assert [(entry.since_ms, entry.over) for entry in entries] == [(LEFT_MS, False)] * 2


def test_a_span_of_a_stream_that_is_not_read_any_more_stays_as_it_is() -> None:
    stage = left_open(("kline", "5m"))
    assert stage.seconds(125, SECOND, TRADE, DEPTH, QUOTE) == set()
    assert stage.probe.health.take_entries() == []


def test_an_end_that_the_ledger_may_lack_is_entered_again() -> None:
    over = Entry(DEPTH, LEFT_MS, NOW_MS - 500, f"a quote has update 5{CARRIED_AGAIN}")
    stage = Stage("1s", before=[over])
    assert stage.probe.uncarried == []
    assert stage.probe.health.take_entries() == [over]


def test_a_quiet_stream_is_carried_again_after_a_restart_where_rest_has_no_trade_to_fetch() -> None:
    stage = left_open()
    stage.probe.reopened(stage.now_s)
    assert not returns(stage, 100, 30), "nobody has said which trade is the newest"
    stage.probe.trade_base = 100
    assert not returns(stage, 99, 30)
    assert not returns(stage, None, 1)
    assert returns(stage, 100, 1)
    assert stage.probe.health.take_entries()[-1].since_ms == LEFT_MS


def test_a_restart_whose_connection_withholds_the_next_trade_too_is_no_return() -> None:
    stage = left_open()
    stage.probe.trade_base = 100
    stage.probe.reopened(stage.now_s)
    assert not returns(stage, 100, 8)
    stage.bring(SECOND)
    assert not returns(stage, stage.trade_id, 30)


def test_a_restart_without_a_connection_proves_no_return() -> None:
    stage = left_open()
    stage.probe.trade_base = 100
    assert not returns(stage, 100, 60)
