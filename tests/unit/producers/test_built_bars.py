"""Built bars as messages and ledger entries: at a first start, at a restart, with trades that are missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from producers.bar_sums import REMEMBERED_MS
from producers.built_bars import MOST_READ, MOST_WAITS, MOST_WARMING, BarEvent, BuiltBars
from producers.effects import LedgerEvent, Publish, ReadTrades
from producers.start_positions import FoundRange, OpenHole, StartPosition
from shared.messages import TradeMessage
from shared.topics import klines_live_topic, klines_topic
from tests.builders import trade

# A whole hour.
T = 1_785_765_600_000
SECOND, MINUTE = 1_000, 60_000


def trade_at(trade_id: int, after_ms: int, **fields: Any) -> TradeMessage:
    return trade(exchange="kraken", symbol="BTC/USD", trade_id=trade_id, trade_time_ms=T + after_ms, **fields)


def bars_of(events: Sequence[BarEvent], interval: str = "1s") -> list[tuple[int, int]]:
    """After how many ms each closed bar of an interval opens, and its number of trades."""
    return [
        (effect.message["open_time_ms"] - T, effect.message["trade_count"])
        for _, effect in events
        if isinstance(effect, Publish) and effect.topic == klines_topic(interval)
    ]


def entries_of(events: Sequence[BarEvent]) -> list[tuple[str, str, int, int]]:
    return [
        (interval, effect.kind, effect.first - T, effect.last - T)
        for interval, effect in events
        if isinstance(effect, LedgerEvent)
    ]


def never(_first: int, _last: int) -> bool:
    return False


@pytest.fixture
def bars() -> BuiltBars:
    """Begun, with the trade before."""
    bars = BuiltBars("kraken", "BTC/USD", ["1s", "1m"])
    bars.begin({}, T, warm=False)
    bars.receive_history(T, [trade_at(100, -5)])
    bars.receive_history(T, ())
    return bars


def test_a_first_start_asks_for_some_hours_or_less() -> None:
    bars = BuiltBars("kraken", "BTC/USD", ["1s"])
    (asked,) = bars.begin({}, T, warm=True)
    assert asked == ReadTrades(
        "BTC/USD", (T - 21_600_000, T - 3_600_000, T - 600_000, T - MINUTE, T - 5_000), MOST_WARMING, likely=1
    )
    assert BuiltBars("kraken", "BTC/USD", ["1s"]).begin({}, T, warm=False) == [
        # Not of now: by the exchange's clock that may not have come yet.
        ReadTrades("BTC/USD", (T - 5_000,), MOST_WARMING)
    ]


def test_a_restart_asks_for_the_trades_of_every_bar_that_is_open() -> None:
    known = {
        "kraken:BTC/USD:klines:1s": StartPosition(T - SECOND),
        "kraken:BTC/USD:klines:1m": StartPosition(
            T - MINUTE, (OpenHole(T - 5 * MINUTE, T - 5 * MINUTE, after_ms=T),)
        ),
        "kraken:BTC/USD:klines:1h": StartPosition(T + 7 * 86_400_000),  # no bar of ours
    }
    bars = BuiltBars("kraken", "BTC/USD", ["1s", "1m", "1h"])
    (asked,) = bars.begin(known, T + 30 * SECOND, warm=True)
    assert asked == ReadTrades(
        "BTC/USD", (T - 5 * MINUTE - SECOND, T - 5 * MINUTE, T, T + 25 * SECOND), MOST_READ
    )


def test_trades_wait_for_the_first_page_of_earlier_ones_and_bars_have_both() -> None:
    bars = BuiltBars("kraken", "BTC/USD", ["1s"])
    bars.begin({}, T, warm=False)
    assert bars.receive(trade_at(103, 1_500)) == []
    assert bars.tick(T + 9_000, T + 9_000, never) == []
    events = bars.receive_history(T, [trade_at(100, -5), trade_at(101, 100), trade_at(102, 200)])
    assert bars_of(events) == [(0, 2)]
    assert bars_of(bars.receive(trade_at(104, 3_000))) == [(1_000, 1), (2_000, 0)]


def test_without_earlier_trades_bars_begin_with_the_first_ones_received() -> None:
    bars = BuiltBars("kraken", "BTC/USD", ["1s"])
    bars.begin({}, T, warm=False)
    bars.receive(trade_at(103, 1_500))
    assert bars.receive_history(T, None) == []
    assert bars_of(bars.receive(trade_at(104, 3_100))) == [(2_000, 0)]


@pytest.mark.parametrize("base_first", [True, False])
def test_the_first_bar_of_a_pair_that_was_never_traded_has_its_first_trade(base_first: bool) -> None:
    bars = BuiltBars("kraken", "BTC/USD", ["1s", "1m", "1h"])
    bars.begin({}, T + 30_000, warm=True)
    steps: list[Callable[[], list[BarEvent]]]
    steps = [lambda: bars.listen_after(0), lambda: bars.receive_history(T + 25_000, ())]
    first, second = steps if base_first else steps[::-1]
    events = [*first(), *bars.receive(trade_at(1, 41_500)), *second()]
    events += bars.tick(T + 42_200, T + 42_200, never)
    events += bars.receive(trade_at(2, 60 * MINUTE))
    assert bars_of(events)[:3] == [(41_000, 1), (42_000, 0), (43_000, 0)]
    assert bars_of(events, "1m")[0] == (0, 1), "it was open when the process began"
    assert bars_of(events, "1h") == [(0, 1)]
    assert ("1s", "lost") not in [(interval, kind) for interval, kind, *_ in entries_of(events)]


def test_trades_of_a_new_pair_that_the_stream_missed_are_in_its_first_bar_too() -> None:
    bars = BuiltBars("kraken", "BTC/USD", ["1s"])
    bars.begin({}, T, warm=True)
    bars.receive_history(T - 5_000, ())
    bars.listen_after(0)
    events = bars.receive(trade_at(3, 1_500))
    assert bars.tick(T + 1_600, T + 1_600, lambda *_: True) == []
    for missed in (1, 2):
        events += bars.receive(trade_at(missed, 1_100 + missed))
    assert bars_of(events + bars.receive(trade_at(4, 2_500))) == [(1_000, 3)]


@pytest.mark.parametrize("base_first", [True, False])
def test_a_first_trade_between_the_reading_of_nothing_and_the_stream_is_in_its_bars(base_first: bool) -> None:
    bars = BuiltBars("kraken", "BTC/USD", ["1s", "1m"])
    bars.begin({}, T + 30_000, warm=True)
    steps: list[Callable[[], list[BarEvent]]]
    steps = [lambda: bars.listen_after(2), lambda: bars.receive_history(T + 25_000, ())]
    first, second = steps if base_first else steps[::-1]
    events = [*first(), *bars.receive(trade_at(3, 31_500)), *second()]
    assert events == [("", ReadTrades("BTC/USD", (T + 25_000,), MOST_READ))]
    assert bars.tick(T + 40_000, T + 40_000, never) == []
    events = bars.receive_history(T + 25_000, [trade_at(each, 31_000 + each) for each in (1, 2, 3)])
    events += bars.receive_history(T + 25_000, ())
    events += bars.receive(trade_at(4, 61_000))
    assert bars_of(events)[:2] == [(31_000, 3), (32_000, 0)]
    assert bars_of(events, "1m") == [(0, 3)], "it was open when the process began"
    assert entries_of(events) == []


def test_only_of_a_pair_without_earlier_trades_long_bars_are_whole() -> None:
    """The first reading was empty by mistake: the second one has trades from before."""
    for rows in ([trade_at(7, 29_000), trade_at(8, 31_000)], [trade_at(8, 31_000)]):
        bars = BuiltBars("kraken", "BTC/USD", ["1s", "1m"])
        bars.begin({}, T + 30_000, warm=True)
        bars.receive_history(T + 30_000, ())
        bars.listen_after(8)
        events = [*bars.receive_history(T + 30_000, rows), *bars.receive_history(T + 30_000, ())]
        events += bars.receive(trade_at(9, 61_000))
        assert bars_of(events, "1m") == [] and (31_000, 1) in bars_of(events)


def test_bars_begin_without_trades_that_are_twice_not_among_those_that_rest_has() -> None:
    bars = BuiltBars("kraken", "BTC/USD", ["1s"])
    bars.begin({}, T, warm=True)
    bars.receive_history(T - 5_000, ())
    bars.listen_after(2)
    bars.receive(trade_at(3, 1_500))
    bars.receive_history(T - 5_000, ())
    events = bars.receive(trade_at(4, 3_500))
    assert bars_of(events) == [(2_000, 0)]
    assert entries_of(events) == [("1s", "lost", 0, 1_000)]


def test_bars_of_a_pair_that_rest_knows_nothing_of_begin_after_a_while_with_what_the_stream_brings() -> None:
    """A producer that goes on after trades of its topic, of which the exchange shows none."""
    bars = BuiltBars("kraken", "BTC/USD", ["1s"])
    bars.begin({}, T, warm=True)
    bars.receive_history(T - 5_000, ())
    for _ in range(MOST_WAITS):
        bars.tick(T, T, never)
    bars.receive(trade_at(900, 1_500))
    for _ in range(MOST_WAITS):
        assert bars.tick(T + 60_000, T + 60_000, never) == []
    events = [*bars.tick(T + 60_000, T + 60_000, never), *bars.receive(trade_at(901, 63_500))]
    assert bars_of(events)[0] == (2_000, 0)
    assert entries_of(events) == [("1s", "lost", 0, 1_000)]


def test_bars_that_are_published_already_are_only_read_for_the_longer_ones() -> None:
    known = {
        "kraken:BTC/USD:klines:1s": StartPosition(T + 29 * SECOND),
        "kraken:BTC/USD:klines:1m": StartPosition(T - MINUTE),
    }
    bars = BuiltBars("kraken", "BTC/USD", ["1s", "1m"])
    bars.begin(known, T + 31 * SECOND, warm=True)
    rows = [trade_at(100, -5), *(trade_at(101 + second, second * SECOND) for second in range(31))]
    events = bars.receive_history(T, rows)
    assert bars_of(events) == [] and entries_of(events) == []
    events = [*bars.receive_history(T, ()), *bars.receive(trade_at(132, 61_000))]
    assert bars_of(events)[0] == (30_000, 1)
    assert bars_of(events, "1m") == [(0, 31)]


def test_bars_on_the_topic_beyond_the_progress_are_not_published_again() -> None:
    """As a kill leaves them: before the first progress, and a moment after it."""
    later = (FoundRange(T - 60 * SECOND, T + SECOND, T, T), FoundRange(T + 2 * SECOND, T + 4 * SECOND, T, T))
    known = {
        "kraken:BTC/USD:klines:1s": StartPosition(T - 61 * SECOND, later=later),
        "kraken:BTC/USD:klines:1m": StartPosition(
            T - 2 * MINUTE, later=(FoundRange(T - MINUTE, T - MINUTE, T, T),)
        ),
    }
    bars = BuiltBars("kraken", "BTC/USD", ["1s", "1m"])
    (asked,) = bars.begin(known, T + 6 * SECOND, warm=True)
    assert asked == ReadTrades("BTC/USD", (T - 296 * SECOND, T, T + SECOND, T + 5 * SECOND), MOST_READ)
    rows = [trade_at(100, -5), *(trade_at(101 + second, second * SECOND) for second in range(8))]
    events = bars.receive_history(T, rows)
    assert bars_of(events) == [(5_000, 1), (6_000, 1)] and bars_of(events, "1m") == []


def test_bars_from_the_first_one_on_that_the_topic_lacks_are_published_again() -> None:
    later = (FoundRange(T + SECOND, T + SECOND, T, T), FoundRange(T + 4 * SECOND, T + 4 * SECOND, T, T))
    bars = BuiltBars("kraken", "BTC/USD", ["1s"])
    bars.begin({"kraken:BTC/USD:klines:1s": StartPosition(T, later=later)}, T + 6 * SECOND, warm=True)
    rows = [trade_at(100, -5), *(trade_at(101 + second, second * SECOND) for second in range(6))]
    assert bars_of(bars.receive_history(T, rows)) == [(second * SECOND, 1) for second in (2, 3, 4)]


def test_bars_whose_trades_were_not_read_again_are_lost() -> None:
    known = {"kraken:BTC/USD:klines:1m": StartPosition(T - 10 * MINUTE)}
    bars = BuiltBars("kraken", "BTC/USD", ["1m"])
    bars.begin(known, T, warm=True)
    bars.receive_history(T, [trade_at(100, -5)])
    events = bars.receive(trade_at(101, MINUTE))
    assert bars_of(events, "1m") == [(0, 0)]
    assert entries_of(events) == [("1m", "lost", -9 * MINUTE, -MINUTE)]


def test_the_clock_closes_bars_only_as_far_as_the_stream_is_known_to_have_brought_all(
    bars: BuiltBars,
) -> None:
    bars.receive(trade_at(101, 500))
    assert bars_of(bars.tick(None, T + 60_000, never)) == []
    assert bars_of(bars.tick(T + 3_000, T + 60_000, never)) == [(0, 1)]


def test_a_missing_trade_holds_its_bar_until_it_is_there(bars: BuiltBars) -> None:
    bars.receive(trade_at(101, 500))
    held = [*bars.receive(trade_at(103, 2_500)), *bars.tick(T + 9_000, T + 9_000, lambda *_: True)]
    assert bars_of(held) == []
    assert bars.filling and entries_of(bars.conclude()) == [
        ("1s", "expected", 0, 6_000),
    ]
    assert bars_of(bars.receive(trade_at(102, 1_200)))[:2] == [(0, 1), (1_000, 1)]
    assert not bars.filling and bars.conclude() == []


def test_a_lost_trade_loses_the_bars_that_it_may_have_been_in(bars: BuiltBars) -> None:
    bars.receive(trade_at(101, 500))
    bars.receive(trade_at(103, 2_500))
    events = bars.settle(LedgerEvent("lost", 102, 102))
    assert entries_of(events) == [("1s", "lost", 0, 0), ("1s", "lost", 1_000, 1_000)]
    events = bars.receive(trade_at(104, 4_000))
    assert entries_of(events) == [("1s", "lost", 2_000, 2_000)] and bars_of(events) == [(3_000, 0)]


def test_a_trade_that_was_never_issued_is_missed_by_no_bar(bars: BuiltBars) -> None:
    bars.receive(trade_at(101, 500))
    bars.receive(trade_at(103, 1_500))
    events = bars.settle(LedgerEvent("halted", 102, 102))
    assert bars_of(events) == [(0, 1)] and entries_of(events) == []


def test_trades_that_nobody_will_publish_are_read_again_and_what_pages_leave_out_does_not_exist(
    bars: BuiltBars,
) -> None:
    bars.receive(trade_at(101, 500))
    bars.receive(trade_at(104, 1_500))
    (asked,) = bars.tick(None, T + 2_000, never)
    assert asked == ("", ReadTrades("BTC/USD", (T + 500,), MOST_READ))
    assert bars.tick(None, T + 3_000, never) == []  # it is under way
    rows = [trade_at(101, 500), trade_at(103, 1_200), trade_at(104, 1_500)]
    events = [*bars.receive_history(T + 500, rows), *bars.receive_history(T + 500, ())]
    assert bars_of(events) == [(0, 1)]
    assert bars_of(bars.receive(trade_at(105, 2_000))) == [(1_000, 2)]


def test_a_refusal_is_not_repeated_at_once(bars: BuiltBars) -> None:
    bars.receive(trade_at(101, 500))
    bars.receive(trade_at(104, 1_500))
    assert bars.tick(None, T + 2_000, never)
    assert bars.receive_history(0, None) == []
    assert bars.tick(None, T + 3_000, never) == []
    assert bars.tick(None, T + 8_000, never)


def test_a_late_trade_corrects_its_bar(bars: BuiltBars) -> None:
    bars.receive(trade_at(101, 500))
    bars.tick(T + 4_000, T + 4_000, never)
    events = bars.receive(trade_at(102, 900))
    assert bars_of(events)[0] == (0, 2)
    assert entries_of(events)[0] == ("1s", "revised", 0, 0)


def test_an_open_bar_is_published_when_it_has_changed_and_never_of_a_second(bars: BuiltBars) -> None:
    bars.receive(trade_at(101, 500))
    (event,) = [e for e in bars.tick(None, T + 1_000, never) if isinstance(e[1], Publish)]
    interval, effect = event
    assert (interval, effect.topic) == ("1m", klines_live_topic("1m"))  # type: ignore[union-attr]
    assert bars.tick(None, T + 2_000, never) == []
    bars.receive(trade_at(102, 1_500, price="99.00000000"))
    assert [interval for interval, _ in bars.tick(None, T + 3_000, never)] == ["1m"]


def test_flat_bars_repeat_the_newest_trade_also_if_it_came_late_and_is_of_before_the_begin(
    bars: BuiltBars,
) -> None:
    assert bars_of(bars.tick(T + 3_500, T + 3_500, never)) == [(0, 0)]
    events = bars.receive(trade_at(101, -3, price="98.00000000"))
    (again,) = [e.message for _, e in events if isinstance(e, Publish)]
    assert (again["open_time_ms"] - T, again["close"], again["trade_count"]) == (0, "98.00000000", 0)
    events = bars.receive(trade_at(102, 3_000, price="97.00000000"))
    assert [e.message["close"] for _, e in events if isinstance(e, Publish)] == ["98.00000000"] * 2


def test_a_reading_that_begins_anew_proves_nothing_of_what_lies_before_its_pages() -> None:
    known = {"kraken:BTC/USD:klines:1m": StartPosition(T - MINUTE)}
    bars = BuiltBars("kraken", "BTC/USD", ["1m"])
    bars.begin(known, T + 50 * SECOND, warm=True)
    bars.receive_history(T, [trade_at(100, -5), trade_at(101, 1_000)])
    # An outage; there are too many trades by then since the first begin.
    later = T + 40 * SECOND
    bars.receive_history(later, [trade_at(110, 39_000), trade_at(111, 41_000)])
    events = [*bars.receive_history(later, ()), *bars.receive(trade_at(112, MINUTE))]
    assert bars_of(events, "1m") == []
    (asked,) = bars.tick(None, T + 61 * SECOND, never)
    assert asked == ("", ReadTrades("BTC/USD", (T + 1_000,), MOST_READ))
    rows = [trade_at(101 + each, 1_000 + each * 4_000) for each in range(11)]
    assert bars_of(bars.receive_history(T + 1_000, rows), "1m") == [(0, 11)]


def test_the_clock_closes_nothing_between_two_pages_of_earlier_trades() -> None:
    bars = BuiltBars("kraken", "BTC/USD", ["1s", "1m"])
    bars.begin({"kraken:BTC/USD:klines:1m": StartPosition(T - MINUTE)}, T + 70 * SECOND, warm=True)
    bars.receive_history(T, [trade_at(100, -5), trade_at(101, 1_000)])
    # All that the stream has brought is known already: nothing shows that a page is to come.
    assert bars.tick(T + 70 * SECOND, T + 70 * SECOND, never) == []
    events = bars.receive_history(T, [trade_at(102, 30_000), trade_at(103, 59_000)])
    events += bars.receive_history(T, ())
    events += bars.tick(T + 70 * SECOND, T + 70 * SECOND, never)
    assert bars_of(events, "1m") == [(0, 3)]
    assert "revised" not in [kind for _, kind, _, _ in entries_of(events)]


def test_the_clock_closes_nothing_either_after_a_refusal_between_two_pages() -> None:
    bars = BuiltBars("kraken", "BTC/USD", ["1m"])
    bars.begin({}, T, warm=False)
    bars.receive_history(T, [trade_at(100, -5), trade_at(101, 1_000)])
    bars.receive_history(0, None)
    assert bars.filling
    assert bars.tick(T + 70 * SECOND, T + 70 * SECOND, never)[0] == (
        "",
        ReadTrades("BTC/USD", (T + 1_000,), MOST_READ),
    )
    rows = [trade_at(101, 1_000), trade_at(102, 30_000)]
    events = [*bars.receive_history(T + 1_000, rows), *bars.receive_history(T + 1_000, ())]
    events += bars.tick(T + 70 * SECOND, T + 70 * SECOND, never)
    assert bars_of(events, "1m") == [(0, 2)] and not bars.filling


def test_a_trade_belongs_to_the_first_bar_though_one_with_a_higher_id_was_before_it() -> None:
    bars = BuiltBars("kraken", "BTC/USD", ["1s"])
    bars.begin({}, T, warm=False)
    rows = [
        trade_at(100, -5),
        trade_at(101, 3),
        trade_at(102, -2, price="98.00000000"),
        trade_at(103, 2_000),
    ]
    events = bars.receive_history(T, rows)
    assert bars_of(events) == [(0, 1), (1_000, 0)]


def test_a_bar_that_a_trade_comes_too_late_to_correct_is_incomplete(bars: BuiltBars) -> None:
    bars.receive(trade_at(101, 500))
    after_ms = REMEMBERED_MS + 10_000
    bars.tick(T + after_ms, T + after_ms, never)
    events = bars.receive(trade_at(102, 900))
    assert entries_of(events)[0] == ("1s", "incomplete", 0, 0)
    assert bars_of(events, "1s") == []


def test_bars_that_the_clock_has_closed_are_incomplete_if_a_lost_trade_may_be_of_them(
    bars: BuiltBars,
) -> None:
    bars.receive(trade_at(101, 500))
    assert bars_of(bars.tick(T + 9_000, T + 9_000, never))[-1] == (6_000, 0)
    bars.receive(trade_at(103, 10_500))
    events = bars.settle(LedgerEvent("lost", 102, 102))
    events += bars.receive(trade_at(104, MINUTE))
    assert entries_of(events) == [
        ("1s", "incomplete", 0, 6_000),
        *(("1s", "lost", second, second) for second in (7_000, 8_000, 9_000, 10_000)),
        ("1m", "lost", 0, 0),
    ]


# --- Trades that cannot be read. ---


def reasons_of(events: Sequence[BarEvent]) -> list[str]:
    return [effect.detail or "" for _, effect in events if isinstance(effect, LedgerEvent)]


def second_by_second(bars: BuiltBars, first: int, last: int) -> list[BarEvent]:
    """What comes of a trade each second, with ids from 200 on, and of the clock."""
    events: list[BarEvent] = []
    for second in range(first, last + 1):
        events += bars.receive(trade_at(200 + second, second * SECOND + 500))
        events += bars.tick(T + second * SECOND + 600, T + second * SECOND + 600, never)
    return events


@pytest.mark.parametrize("restarted", [True, False])
def test_without_an_answer_bars_begin_with_the_stream_after_a_while_and_those_before_are_lost(
    restarted: bool,
) -> None:
    """A series that begins promises bars from the one on that was open then."""
    known = {"kraken:BTC/USD:klines:1m": StartPosition(T - 3 * MINUTE)} if restarted else {}
    bars = BuiltBars("kraken", "BTC/USD", ["1m"])
    bars.begin(known, T + 5 * SECOND, warm=True)
    assert second_by_second(bars, 10, MOST_WAITS + 9) == []
    assert bars.filling
    events = second_by_second(bars, MOST_WAITS + 10, MOST_WAITS + 10)
    assert not bars.filling
    assert bars_of(events, "1m")[0] == (MINUTE, 60)
    assert entries_of(events) == [("1m", "lost", -2 * MINUTE if restarted else 0, 0)]
    assert "not serve them, or not with proof" in reasons_of(events)[0]
    # The clock closes bars again, though the request is still under way.
    quiet_ms = T + (MOST_WAITS + 130) * SECOND
    assert bars_of(bars.tick(quiet_ms, quiet_ms, never), "1m")[-1] == ((MOST_WAITS // 60 + 1) * MINUTE, 0)


def test_an_answer_that_comes_too_late_changes_nothing_and_later_ones_count_again() -> None:
    bars = BuiltBars("kraken", "BTC/USD", ["1s"])
    bars.begin({}, T, warm=False)
    second_by_second(bars, 0, MOST_WAITS)
    at = MOST_WAITS * SECOND + 2_000
    bars.receive(trade_at(300 + MOST_WAITS, at))  # those between are on the topic
    assert [e for _, e in bars.tick(None, T + at, never) if isinstance(e, ReadTrades)] == []
    assert bars.receive_history(T, [trade_at(100, -5), trade_at(101, 2_000)]) == []
    assert bars.receive_history(T, ()) == []
    (asked,) = [e for _, e in bars.tick(None, T + at, never) if isinstance(e, ReadTrades)]
    assert asked.begins_ms == (T + MOST_WAITS * SECOND + 500,)
    rows = [trade_at(200 + MOST_WAITS + each, asked.begins_ms[0] - T + each) for each in range(100)]
    assert bars_of(bars.receive_history(asked.begins_ms[0], rows))[0] == (MOST_WAITS * SECOND, 100)


@pytest.mark.parametrize("answer", ["none", "refusals", "the same page"])
def test_trades_between_pages_and_the_stream_that_cannot_be_had_are_lost_after_a_while(answer: str) -> None:
    bars = BuiltBars("kraken", "BTC/USD", ["1m"])
    bars.begin({"kraken:BTC/USD:klines:1m": StartPosition(T - MINUTE)}, T + 5 * SECOND, warm=True)
    page = [trade_at(100, -5), trade_at(101, 1_000)]
    bars.receive_history(T, page)
    events: list[BarEvent] = []
    for second in range(10, MOST_WAITS + 12):
        asked = [e for _, e in events[-1:] if isinstance(e, ReadTrades)]
        if answer != "none" and (asked or second == 10):
            if answer == "the same page":
                bars.receive_history(T, page)
            bars.receive_history(0, None)
        events += second_by_second(bars, second, second)
    assert entries_of(events) == [("1m", "lost", 0, 0)]
    assert reasons_of(events) == ["trades that it may have had are lost"]
    assert bars_of(events, "1m")[0] == (MINUTE, 60)


def test_pages_that_come_slowly_are_waited_for() -> None:
    bars = BuiltBars("kraken", "BTC/USD", ["1m"])
    bars.begin({"kraken:BTC/USD:klines:1m": StartPosition(T - MINUTE)}, T + 5 * SECOND, warm=True)
    for page in range(3):
        for _ in range(MOST_WAITS):
            assert bars.tick(T + 10 * SECOND, T + 10 * SECOND, never) == []
        bars.receive_history(T, [trade_at(100 + page, -5 if page == 0 else page * SECOND)])
    events = [*bars.receive_history(T, ()), *bars.receive(trade_at(103, MINUTE))]
    assert bars_of(events, "1m") == [(0, 2)] and entries_of(events) == []


def test_what_pages_leave_unseen_closes_no_bar_though_no_further_page_comes() -> None:
    bars = BuiltBars("kraken", "BTC/USD", ["1s"])
    bars.begin({}, T, warm=False)
    # 102 was never issued; of those after 103 nobody knows.
    bars.receive_history(T, [trade_at(100, -5), trade_at(101, 200), trade_at(103, 300)])
    events = [e for _ in range(2 * MOST_WAITS) for e in bars.tick(T + MINUTE, T + MINUTE, never)]
    assert events == [] and bars.filling
    events = [*bars.receive(trade_at(109, 9_500)), *bars.tick(T + MINUTE, T + MINUTE, never)]
    assert entries_of(events)[0] == ("1s", "lost", 0, 0)
    assert bars_of(events)[0] == (10_000, 0) and not bars.filling


@pytest.mark.parametrize(("begin_ms", "said"), [(0, "too many to be read"), (-9 * MINUTE, "not with proof")])
def test_that_trades_were_too_many_is_said_only_where_they_were(begin_ms: int, said: str) -> None:
    bars = BuiltBars("kraken", "BTC/USD", ["1m"])
    bars.begin({"kraken:BTC/USD:klines:1m": StartPosition(T - 10 * MINUTE)}, T, warm=True)
    # The first trades of the pair, or as far as is known: there is no price for bars before them.
    bars.receive_history(T + begin_ms, [trade_at(100, 500)])
    (reason,) = reasons_of(bars.receive(trade_at(101, MINUTE)))
    assert said in reason


def test_bars_that_wait_for_earlier_trades_at_the_end_are_expected() -> None:
    bars = BuiltBars("kraken", "BTC/USD", ["1s", "1m"])
    bars.begin({"kraken:BTC/USD:klines:1m": StartPosition(T - 2 * MINUTE)}, T + 5 * SECOND, warm=True)
    assert bars.conclude() == []
    bars.receive(trade_at(200, 65_000))
    assert entries_of(bars.conclude()) == [
        ("1s", "expected", 5 * SECOND, 64 * SECOND),
        ("1m", "expected", -MINUTE, 0),
    ]
