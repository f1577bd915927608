"""Where a series of trades begins that has no rows: after what was issued when it was first listened to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, cast

import pytest

import producers.trade_bases
from producers.clock import Clock
from producers.effect_runner import EffectRunner
from producers.effects import Effect, FillTrades, Publish
from producers.exchanges.binance.rest import BinanceRest
from producers.halts import Halts
from producers.instrument import Instrument
from producers.start_positions import StartPosition
from producers.trade_bases import TradeBases
from producers.trade_sequence import TradeSequence
from shared.errors import ExchangeRefused, ExchangeUnavailable
from tests.builders import NOW_MS, trade


def stream(trade_id: int) -> Any:
    return trade(trade_id=trade_id, trade_time_ms=NOW_MS + trade_id)


def fills(effects: Any) -> list[tuple[int, int]]:
    return [(effect.first, effect.last) for effect in effects if isinstance(effect, FillTrades)]


@pytest.fixture
def sequence() -> TradeSequence:
    sequence = TradeSequence("QUIETUSDC", Halts())
    sequence.await_base()
    return sequence


def test_trades_between_the_base_and_the_first_one_heard_are_fetched(sequence: TradeSequence) -> None:
    assert sequence.listen_after(1_019, NOW_MS) == []
    effects = sequence.receive(stream(1_022))
    assert fills(effects) == [(1_020, 1_021)]
    assert sequence.missing == 2


def test_a_base_that_is_known_late_shows_what_came_before_the_first_one_heard(
    sequence: TradeSequence,
) -> None:
    sequence.receive(stream(1_022))
    assert fills(sequence.listen_after(1_019, NOW_MS)) == [(1_020, 1_021)]
    assert not sequence.awaits_base


@pytest.mark.parametrize("heard_first", [True, False])
def test_what_was_on_its_way_when_the_base_was_asked_for_is_no_hole(
    sequence: TradeSequence, heard_first: bool
) -> None:
    effects = sequence.receive(stream(1_018)) if heard_first else []
    effects += sequence.listen_after(1_019, NOW_MS)
    for trade_id in range(1_018 + heard_first, 1_022):
        effects += sequence.receive(stream(trade_id))
    assert [effect.message["trade_id"] for effect in effects if isinstance(effect, Publish)] == [
        *range(1_018, 1_022)
    ]
    assert fills(effects) == [] and sequence.doubtful == 0


def test_what_another_source_knows_lies_after_the_base(sequence: TradeSequence) -> None:
    sequence.listen_after(1_019, NOW_MS)
    sequence.begin_after(1_025)  # the newest of the first bar
    assert fills(sequence.issued(1_025, NOW_MS + 5_000)) == [(1_020, 1_025)]


def test_a_base_that_comes_after_the_word_of_a_bar_reaches_further_back(sequence: TradeSequence) -> None:
    sequence.begin_after(1_025)
    assert fills(sequence.listen_after(1_019, NOW_MS)) == [(1_020, 1_025)]


def test_what_is_on_the_topic_may_not_be_the_first_of_all() -> None:
    sequence = TradeSequence("QUIETUSDC", Halts())
    sequence.begin(1_021)
    sequence.await_base()
    sequence.receive(stream(1_022))
    assert fills(sequence.listen_after(1_019, NOW_MS)) == [(1_020, 1_021)]


def test_what_was_issued_while_we_were_switched_off_is_fetched_without_a_next_trade() -> None:
    sequence = TradeSequence("QUIETUSDC", Halts())
    sequence.begin(1_019)
    assert fills(sequence.listen_after(1_021, NOW_MS)) == [(1_020, 1_021)]


def test_ids_that_no_market_can_join_tell_of_no_hole(sequence: TradeSequence) -> None:
    sequence.listen_after(1_019, NOW_MS)
    assert fills(sequence.receive(stream(10**9))) == []


def test_a_recording_begins_with_its_first_trade(sequence: TradeSequence) -> None:
    sequence.forgo_base()
    sequence.receive(stream(1_022))
    assert sequence.listen_after(1_019, NOW_MS) == []


def test_what_rest_says_before_a_recording_is_played_is_no_base_of_it() -> None:
    instrument = Instrument("binance", QUIET, [], book_interval_ms=1_000, warmup_bars=0)
    instrument.begin({}, NOW_MS)
    instrument.await_trade_base()
    instrument.listen_after(1_019, NOW_MS, NOW_MS)
    played = stream(1_022) | {"source": "replay"}
    assert fills(instrument.receive("trade", played)) == []


QUIET = "QUIETUSDC"
SERIES = f"binance:{QUIET}:trades"


class Rest:
    """Each attribute is what REST says to that question; an error is raised."""

    def __init__(self, newest: Any = None, first: Any = None, trade_ms: int | None = None) -> None:
        self.newest: Any = {} if newest is None else newest
        self.first = first
        self.trade_ms = trade_ms
        self.now_ms = NOW_MS
        self.asked: list[str] = []
        self.since_ms: list[int] = []

    async def newest_trade_ids(self, _symbols: Any) -> Any:
        return self._say("ticker", self.newest)

    async def first_trade(self, _symbol: str, begin_ms: int, _end_ms: int) -> Any:
        self.since_ms.append(begin_ms)
        return self._say("aggregates", self.first)

    async def newest_trade(self, symbol: str, _now_ms: int) -> Any:
        self.asked.append("trades")
        return None if self.trade_ms is None else trade(trade_id=1_019, trade_time_ms=self.trade_ms)

    async def latest_ms(self) -> int:
        return self.now_ms

    def _say(self, question: str, answer: Any) -> Any:
        self.asked.append(question)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Shell:
    """An effect runner and the time that passes while nothing is answered."""

    def __init__(self) -> None:
        self.publisher = self
        self.progress = self
        self.noted: list[int] = []
        self.fills: list[tuple[int, int]] = []
        self.slept = 0
        self.meanwhile: Callable[[], None] = lambda: None

    async def room(self) -> None:
        pass

    def note_trade_base(self, _instrument: Instrument, base: int) -> None:
        self.noted.append(base)

    def run(self, _instrument: Instrument, effects: Iterable[Effect]) -> None:
        self.fills += fills(effects)

    async def sleep(self, _delay_s: float) -> None:
        self.slept += 1
        self.meanwhile()
        if self.slept > 20:
            raise asyncio.CancelledError


def found(
    rest: Rest, shell: Shell, *, begun_ms: int | None = None, last_id: int | None = None, **options: Any
) -> Instrument:
    instrument = Instrument("binance", QUIET, [], book_interval_ms=1_000, warmup_bars=0)
    instrument.begin({} if last_id is None else {SERIES: StartPosition(last_id)}, NOW_MS)
    if last_id is None:
        instrument.await_trade_base()
    begun = {} if begun_ms is None else {QUIET: begun_ms}
    host, runner = cast(BinanceRest, rest), cast(EffectRunner, shell)
    bases = TradeBases(host, runner, Clock(), {QUIET: instrument}, begun, sleep=shell.sleep, **options)
    with suppress(asyncio.CancelledError):
        asyncio.run(bases.find(lambda: True))
    return instrument


def test_the_newest_trade_at_the_start_is_the_base() -> None:
    rest, shell = Rest(newest={QUIET: 1_019}), Shell()
    instrument = found(rest, shell)
    assert shell.noted == [1_019] and rest.asked == ["ticker"]
    assert fills(instrument.receive("trade", stream(1_022))) == [(1_020, 1_021)]


@pytest.mark.parametrize("error", [ExchangeUnavailable("503"), ExchangeRefused("404")])
def test_what_rest_does_not_say_at_once_it_is_asked_again(error: Exception) -> None:
    rest, shell = Rest(newest=error, first=error), Shell()

    def answer() -> None:
        if shell.slept == 5:
            rest.newest, rest.first = {QUIET: 1_024}, 1_020

    shell.meanwhile = answer
    found(rest, shell)
    assert shell.noted == [1_019], "what was issued while REST did not answer lies after it"


@pytest.mark.parametrize(("trade_ms", "noted"), [(999, [1_019]), (1_001, [])])
def test_that_aggregates_have_nothing_yet_may_mean_that_they_trail(trade_ms: int, noted: list[int]) -> None:
    rest, shell = Rest(newest={QUIET: 1_019}, trade_ms=trade_ms), Shell()
    found(rest, shell, begun_ms=1_000)
    assert set(rest.since_ms) == {1_000}, "when an earlier process began"
    assert shell.noted == noted


def test_an_answer_that_comes_late_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producers.trade_bases, "_AT_ONCE_S", 0.0)
    rest, shell = Rest(newest={QUIET: 1_024}, first=1_020), Shell()
    found(rest, shell)
    assert shell.noted == [1_019] and rest.asked == ["ticker", "aggregates"]


@pytest.mark.parametrize("newest", [{QUIET: 1_019}, {}, ExchangeUnavailable("503")])
def test_it_says_once_when_the_newest_trades_have_been_asked_for(newest: Any) -> None:
    told: list[Any] = []
    found(Rest(newest=newest), Shell(), asked=lambda ids: told.append(dict(ids)))
    assert told == [newest if isinstance(newest, dict) else {}]


def test_a_symbol_without_any_trade_costs_no_more_than_the_ticker() -> None:
    rest, shell = Rest(), Shell()
    instrument = found(rest, shell)
    assert set(rest.asked) == {"ticker"} and instrument.awaits_trade_base


def test_a_series_that_goes_on_is_told_what_was_issued_while_it_was_switched_off() -> None:
    rest, shell = Rest(newest={QUIET: 1_021}), Shell()
    found(rest, shell, last_id=1_019)
    assert shell.fills == [(1_020, 1_021)] and shell.noted == []


def test_what_was_issued_meanwhile_is_taken_however_old_our_idea_of_the_exchanges_clock_is() -> None:
    rest, shell = Rest(newest={QUIET: 1_020}), Shell()
    rest.now_ms = Clock().exchange_ms() + 3_600_000
    instrument = found(rest, shell, last_id=1_019)
    row = trade(trade_id=1_020, trade_time_ms=rest.now_ms - 1, source="backfill")
    effects = instrument.receive_trade_rows(1_020, 1_020, [row], NOW_MS, now_s=0.0)
    assert [effect.message for effect in effects if isinstance(effect, Publish)] == [row]
