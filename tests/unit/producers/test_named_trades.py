"""Holes of a symbol without trades before a halt: only longer bars name its newest trade."""

from __future__ import annotations

from typing import Any

import pytest

from producers.halts import Halts
from producers.instrument import Instrument
from producers.kline_sequence import KlineSequence
from producers.named_trades import NamedTrades
from tests.builders import NOW_MS, trade
from tests.unit.producers.kline_bars import MINUTE, Rest, bar, events, ids, kinds_but_gaps

NONE: dict[str, Any] = {"trade_count": 0, "first_trade_id": -1, "last_trade_id": -1}


def of_the_hour(event_ms: int, last: int, **fields: Any) -> Any:
    """The open bar of an hour, as an event of the stream."""
    return bar(
        0, **{**ids(1, last), "trade_count": last, "event_time_ms": event_ms, "closed": False, **fields}
    )


def quiet(named: NamedTrades) -> KlineSequence:
    """A series whose bars up to 0 have no trades."""
    sequence = KlineSequence("BTCUSDC", "1m", Halts(), named)
    sequence.begin(None, NOW_MS, 0)
    sequence.receive(bar(0, **NONE))
    return sequence


def after_a_hole(sequence: KlineSequence, first_trade_id: int) -> tuple[Any, int]:
    """What is entered once bar 3 has come and REST has neither 1 nor 2; how many bars are still missing."""
    rest = Rest(sequence, [3])
    rest.take(sequence.receive(bar(3, **ids(first_trade_id, first_trade_id + 11))))
    return kinds_but_gaps(rest.until(60.0)), sequence.missing


def test_a_halt_before_the_first_trade_is_proved_by_the_trade_that_a_longer_bar_names() -> None:
    named = NamedTrades()
    sequence = quiet(named)
    named.receive(of_the_hour(NOW_MS + 30_000, 40))
    assert after_a_hole(sequence, 41) == ([("expected", 1, 2), ("halted", 1, 2)], 0)


@pytest.mark.parametrize(
    ("event_ms", "first_trade_id"),
    [
        (NOW_MS + 30_000, 42),
        (NOW_MS + MINUTE + 1, 41),
        # An event's time may be 1.5 s before the trade that it names.
        (NOW_MS + MINUTE - 1_500, 41),
    ],
    ids=["a trade lies between", "named after the hole began", "named shortly before"],
)
def test_a_hole_is_no_halt_if_trades_may_have_been_in_it(event_ms: int, first_trade_id: int) -> None:
    named = NamedTrades()
    sequence = quiet(named)
    named.receive(of_the_hour(event_ms, 40))
    assert after_a_hole(sequence, first_trade_id) == ([("expected", 1, 2)], 2)


def test_after_a_hole_of_unknown_trades_the_next_bar_of_any_series_names_one() -> None:
    named = NamedTrades()
    sequence = quiet(named)
    named.receive(of_the_hour(NOW_MS + 1, 3))
    rest = Rest(sequence, [3])
    rest.take(sequence.receive(bar(3, **NONE)))
    rest.until(60.0)
    assert sequence.missing == 2
    named.receive(of_the_hour(NOW_MS + 4 * MINUTE - 2_000, 18))
    rest.has = [6]
    rest.take(sequence.receive(bar(6, **ids(19, 30))))
    assert ("halted", 4, 5) in events(rest.until(120.0))


def test_an_update_of_a_missing_bar_itself_is_no_proof_of_its_emptiness() -> None:
    sequence = quiet(NamedTrades())
    early = {"trade_count": 1, "closed": False, "event_time_ms": NOW_MS + MINUTE - 5_000}
    sequence.receive(bar(1, **ids(40, 40), **early))
    assert after_a_hole(sequence, 41)[1] == 2


def test_the_newest_moment_two_seconds_before_a_time_counts() -> None:
    named = NamedTrades()
    named.receive(of_the_hour(NOW_MS, 900))
    named.receive(of_the_hour(NOW_MS + 1, 901))  # not wanted
    named.want()
    named.receive(of_the_hour(NOW_MS + 2, 7))
    assert [named.before(NOW_MS + after) for after in (1_999, 2_001, 2_002)] == [None, 900, 7]


def test_nothing_of_a_former_numbering_is_known() -> None:
    named = NamedTrades()
    named.receive(of_the_hour(NOW_MS, 900))
    named.forget()
    assert (named.before(NOW_MS + 10_000), named.wanted) == (None, True)


def test_an_instrument_forgets_them_when_ids_begin_anew() -> None:
    instrument = Instrument("binance", "BTCUSDC", ("1m",), book_interval_ms=1_000, warmup_bars=0)
    instrument.receive("kline", of_the_hour(NOW_MS, 900, interval="1m"))
    instrument.receive("trade", anew(5_000, 0))
    new = [anew(each, 60_000 + each) for each in (1, 2, 3)]
    for each in new:
        instrument.receive("trade", each)
    assert instrument._named.before(NOW_MS + 10_000) == 900
    instrument.receive_newest_trades(new, NOW_MS)
    assert instrument._named.before(NOW_MS + 10_000) is None


def anew(trade_id: int, at_ms: int) -> Any:
    return trade(trade_id=trade_id, trade_time_ms=NOW_MS + at_ms, received_time_ms=NOW_MS + at_ms + 5)


@pytest.mark.parametrize(
    "fields", [NONE, {"last_trade_id": None}, {"event_time_ms": None}, {"trade_count": 41}, ids(-1, -1)]
)
def test_a_bar_that_names_no_trade_leaves_it_wanted(fields: dict[str, Any]) -> None:
    named = NamedTrades()
    named.receive(of_the_hour(NOW_MS, 40, **fields))
    assert named.wanted
    assert named.before(NOW_MS) is None
