"""Built bars against a model: each equals the sum of all trades, or is unproved, incomplete or lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.bar_builder import GRACE_MS, BarBuilder, BarEffect, FinalBar, Unproved
from producers.built_bars import BarEvent, BuiltBars
from producers.effects import LedgerEvent, Publish, ReadTrades
from producers.start_positions import StartPosition, klines_series
from shared.intervals import INTERVAL_MS
from shared.messages import KlineMessage, TradeMessage
from tests.builders import NOW_MS, trade
from tests.unit.producers.exact_bars import exact, numbers_of

# Half past an hour and some: bars of all intervals are open at the begin.
BEGIN_MS: Final = NOW_MS - NOW_MS % 3_600_000 + 1_830_500
MINUTE: Final = 60_000
INTERVALS: Final = ("1s", "1m", "5m", "15m")
Key = tuple[str, int]


class Draft(NamedTuple):
    """A trade: how long after the one before it is issued, how far back its time is, when it is received."""

    gap_ms: int
    back_ms: int
    delay_ms: int
    price: int


def drafts(*, back_ms: Sequence[int], delays_ms: Sequence[int]) -> st.SearchStrategy[list[Draft]]:
    gaps = st.sampled_from((0, 0, 1, 400, 1_500, 20_000, 70_000, 200_000, 400_000))
    draft = st.builds(Draft, gaps, st.sampled_from(back_ms), st.sampled_from(delays_ms), st.integers(98, 103))
    return st.lists(draft, min_size=1, max_size=14)


class Issued(NamedTuple):
    """A trade, when the exchange issued it, and when it is received."""

    trade: TradeMessage
    issued_ms: int
    received_ms: int


def issue(plan: Iterable[Draft], first_ms: int) -> list[Issued]:
    at_ms, issued = first_ms, []
    for number, draft in enumerate(plan, 1):
        at_ms += draft.gap_ms
        message = trade(
            trade_id=number,
            exchange="kraken",
            symbol="BTC/USD",
            trade_time_ms=at_ms - draft.back_ms,
            price=str(draft.price),
            quantity=f"0.{number:03}",
            buyer_is_maker=bool(number % 3),
        )
        issued.append(Issued(message, at_ms, at_ms + draft.delay_ms))
    return issued


class Shown:
    """The newest version of each bar that was given, and those that are said to be wrong or missing."""

    def __init__(self) -> None:
        self.bars: dict[Key, KlineMessage] = {}
        self.marked: set[Key] = set()

    def take(self, effects: Iterable[BarEffect]) -> None:
        for effect in effects:
            if isinstance(effect, Unproved):
                keys = set(self.keys(*effect))
                assert not keys & self.marked, "said twice"
                self.marked |= keys
                continue
            key = effect.bar["interval"], effect.bar["open_time_ms"]
            assert key not in self.marked, "given after it was unproved"
            assert (key in self.bars) == (not isinstance(effect, FinalBar))
            self.bars[key] = effect.bar

    def keys(self, interval: str, first: int, last: int) -> Iterator[Key]:
        for open_ms in range(first, last + 1, INTERVAL_MS[interval]):
            yield interval, open_ms

    def compare(self, trades: Sequence[TradeMessage], from_ms: int) -> None:
        """All that is not marked is exact, from the first whole bar on, and without a hole."""
        for interval in INTERVALS:
            step = INTERVAL_MS[interval]
            known = [open_ms for name, open_ms in (*self.bars, *self.marked) if name == interval]
            expected = exact(trades, interval, -(-from_ms // step) * step, max(known, default=0))
            assert set(known) <= set(expected)
            for open_ms, numbers in expected.items():
                key = interval, open_ms
                assert key in self.marked or numbers_of(self.bars[key]) == numbers, key


def begun(issued: Sequence[Issued]) -> tuple[BarBuilder, TradeMessage]:
    """A builder that begins after trade 0."""
    bars = BarBuilder("kraken", "BTC/USD", INTERVALS)
    before = trade(trade_id=0, trade_time_ms=BEGIN_MS - 300_000, price="100")
    bars.begin(0, before["trade_time_ms"], BEGIN_MS, before["price"])
    return bars, before


def close_all(bars: BarBuilder, at_ms: int) -> Iterator[BarEffect]:
    while effects := bars.tick(at_ms, at_ms):
        yield from effects


CLOCKS = st.lists(st.integers(0, 1_500_000), max_size=8)
DISORDERED = drafts(
    back_ms=(0, 0, 0, 300, 1_100, 45_000, 100_000, 500_000), delays_ms=(0, 0, 0, 3_000, 70_000, 300_000)
)


@pytest.mark.thorough
@given(DISORDERED, CLOCKS)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_each_bar_that_is_not_unproved_is_exact_however_late_and_disordered_its_trades_are(
    plan: list[Draft], clocks: list[int]
) -> None:
    issued = issue(plan, BEGIN_MS + 10)
    bars, before = begun(issued)
    shown = Shown()
    moments: list[tuple[int, TradeMessage | None]] = [(each.received_ms, each.trade) for each in issued]
    moments += [(BEGIN_MS + clock, None) for clock in clocks]
    for at_ms, message in sorted(moments, key=lambda moment: moment[0]):
        shown.take(bars.tick(at_ms, at_ms) if message is None else bars.receive(message))
    shown.take(close_all(bars, max(at_ms for at_ms, _ in moments) + 900_000 + GRACE_MS))
    shown.compare([before, *(each.trade for each in issued)], BEGIN_MS)


@pytest.mark.thorough
@given(drafts(back_ms=(0,), delays_ms=(0, 0, 3_000, 300_000)), CLOCKS, st.sets(st.integers(1, 13)))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_each_bar_is_exact_or_unproved_though_trades_are_lost(
    plan: list[Draft], clocks: list[int], lost: set[int]
) -> None:
    issued = issue(plan, BEGIN_MS + 10)
    bars, before = begun(issued)
    shown = Shown()
    moments: list[tuple[int, TradeMessage | None]] = [
        (each.received_ms, each.trade)
        for each in issued
        if each.trade["trade_id"] not in lost or each is issued[-1]
    ]
    moments += [(BEGIN_MS + clock, None) for clock in clocks]
    for at_ms, message in sorted(moments, key=lambda moment: moment[0]):
        shown.take(bars.tick(at_ms, at_ms) if message is None else bars.receive(message))
        for hole in bars.holes:
            if lost.issuperset(range(hole.first, hole.last + 1)):
                shown.take(bars.lost(hole.first, hole.last))
    shown.take(close_all(bars, max(at_ms for at_ms, _ in moments) + 900_000 + GRACE_MS))
    assert not bars.holes
    shown.compare([before, *(each.trade for each in issued)], BEGIN_MS)


class Deployment:
    """Producers of one symbol, one after the other, and what is on the topics and in the ledger."""

    def __init__(self, issued: Sequence[Issued]) -> None:
        self.issued = issued
        self.shown: dict[Key, KlineMessage] = {}
        self.excused: set[Key] = set()
        self.last: dict[str, int] = {}

    def run(self, begin_ms: int, end_ms: int, clocks: Iterable[int]) -> None:
        """A producer from its start to its kill."""
        bars = BuiltBars("kraken", "BTC/USD", INTERVALS)
        known = {
            klines_series("kraken", "BTC/USD", name): StartPosition(open_ms)
            for name, open_ms in self.last.items()
        }
        (asked,) = bars.begin(known, begin_ms, warm=True)
        assert isinstance(asked, ReadTrades)
        from_ms = asked.begins_ms[0]
        rows = [each.trade for each in self.issued if each.issued_ms < begin_ms]
        self.take(bars.receive_history(from_ms, rows))
        self.take(bars.receive_history(from_ms, ()))
        moments: list[tuple[int, TradeMessage | None]] = [
            (each.received_ms, each.trade)
            for each in self.issued
            if each.issued_ms >= begin_ms and each.received_ms < end_ms
        ]
        moments += [(clock, None) for clock in clocks if begin_ms <= clock < end_ms]
        for at_ms, message in sorted(moments, key=lambda moment: moment[0]):
            if message is not None:
                self.take(bars.receive(message))
            self.take(bars.tick(at_ms, at_ms, lambda *_: True))

    def take(self, events: Iterable[BarEvent]) -> None:
        for interval, effect in events:
            if isinstance(effect, Publish) and effect.message["closed"]:
                open_ms = effect.message["open_time_ms"]
                self.shown[interval, open_ms] = effect.message
                self.last[interval] = max(self.last.get(interval, 0), open_ms)
            elif isinstance(effect, LedgerEvent) and effect.kind in ("lost", "incomplete"):
                step = INTERVAL_MS[interval]
                self.excused |= {
                    (interval, open_ms) for open_ms in range(effect.first, effect.last + 1, step)
                }

    def compare(self) -> None:
        trades = [each.trade for each in self.issued]
        for interval in INTERVALS:
            opens = [open_ms for name, open_ms in self.shown if name == interval]
            if not opens:
                continue
            for open_ms, numbers in exact(trades, interval, min(opens), max(opens)).items():
                key = interval, open_ms
                assert key in self.excused or numbers_of(self.shown[key]) == numbers, key


RESTARTS = st.lists(st.integers(0, 1_500_000), min_size=1, max_size=3, unique=True)


@pytest.mark.thorough
@given(drafts(back_ms=(0, 0, 300, 1_100, 45_000, 500_000), delays_ms=(0, 500)), RESTARTS, CLOCKS)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_each_bar_is_exact_or_in_the_ledger_whenever_the_producer_starts_again(
    plan: list[Draft], restarts: list[int], clocks: list[int]
) -> None:
    starts = [BEGIN_MS + restart for restart in sorted(restarts)]
    issued = []
    for each in issue(plan, BEGIN_MS - 400_000):
        # A trade that no process has seen, and that is of a bar published by then, is a case of its own.
        least = max((start for start in starts if start <= each.issued_ms + 500), default=0)
        time_ms = max(each.trade["trade_time_ms"], least)
        issued.append(each._replace(trade={**each.trade, "trade_time_ms": time_ms}))
    deployment = Deployment(issued)
    ends = [*starts[1:], BEGIN_MS + 10_000_000]
    for start, end in zip(starts, ends, strict=True):
        last = end == ends[-1]
        moments = [BEGIN_MS + clock for clock in clocks]
        moments += [issued[-1].received_ms + 1_000_000] if last else []
        deployment.run(start, end, moments)
    deployment.compare()
