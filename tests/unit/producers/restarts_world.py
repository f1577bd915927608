"""Producers of one symbol of Kraken, one after the other in virtual time, and what they leave on the topics.

Each is a whole `Instrument`. Its stream is late or loses trades, REST trails, some ids belong to no trade,
and a kill takes another part of the last records from each topic. What the topics have is read back as at any
start.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from producers.effects import (
    AskNewestTrades,
    Effect,
    FillTrades,
    ProbeResult,
    ProbeStreams,
    ProveTrades,
    Publish,
    ReadTrades,
)
from producers.exchanges.kraken.exchange import KRAKEN
from producers.instrument import Instrument
from producers.read_back import Gathering, ReadBack, windows_of_built
from producers.since_pages import SincePages
from producers.start_positions import OpenHole, StartPosition, klines_series, trades_series
from producers.trade_pages import KRAKEN as RULES
from producers.trade_pages import Repair
from shared.id_ranges import IdRanges
from shared.intervals import INTERVAL_MS
from shared.messages import KlineMessage, TradeMessage
from shared.topics import LEDGER, TRADES, klines_topic
from tests.builders import trade
from tests.unit.producers.exact_bars import exact, numbers_of
from tests.unit.producers.paged_trades import Rest

EXCHANGE, SYMBOL = "kraken", "BTC/USD"
INTERVALS: Final = ("1s", "1m", "5m")
SECOND: Final = 1_000
# A whole hour, when the first producer starts.
BEGIN_MS: Final = 1_785_765_600_000
_END_MS: Final = BEGIN_MS + 330_000  # of what goes wrong
_OVER_MS: Final = _END_MS + 120_000  # of the last producer: longer than any trade is late
_CLOSED_MS: Final = _OVER_MS - 30_000  # of bars that are on the topics by then
_RESTARTS: Final = 6
_PAGE: Final = 100  # of REST, and below of the trades that a subscription begins with: a tenth of Kraken's
_SNAPSHOT: Final = 5
_REPLACE_MS: Final = 60_000  # between two connections of a producer
_IN_TIME_MS: Final = (20, 400)  # from a trade's issue to its message
_LATE_MS: Final = (2_600, 55_000)
_BACK_MS: Final = 10_000  # how far before its begin the reading of trades begins
_MOST_CUT: Final = 12


class Troubles(NamedTuple):
    """What goes wrong. Of trades these are parts of all, from 0 to 1.

    Attributes:
        disordered: with a time up to 0.9 s before that of their issue.
        late: that the stream brings up to 55 s after their issue.
        lost: that the stream does not bring.
        absent: whose next id, or two, belong to none.
        silent: whether the market has no trade any more when the last producer has started.
        trails_ms: how old a trade is before REST has it.
        gaps_ms: mean times between trades, of which each has one.
        down_ms: shortest and longest time from a producer's end to the next start.
    """

    disordered: float = 0.0
    late: float = 0.0
    lost: float = 0.0
    trails_ms: int = 0
    gaps_ms: tuple[int, ...] = (50, 400, 3_000)
    absent: float = 0.02
    silent: bool = False
    down_ms: tuple[int, int] = (1_000, 20_000)


class Traded(NamedTuple):
    """A trade, and when the stream brings it; None: never."""

    trade: TradeMessage
    issued_ms: int
    received_ms: int | None


def market(troubles: Troubles, chance: random.Random, last_begin_ms: int) -> list[Traded]:
    """Trades in the order of their ids, some of which belong to none.

    Args:
        last_begin_ms: when the last producer starts.
    """
    over_ms = last_begin_ms if troubles.silent else _OVER_MS
    at_ms = before_ms = BEGIN_MS - 30_000
    trade_id = 1_000
    traded = []
    while at_ms < over_ms:
        if at_ms >= _END_MS:
            troubles = Troubles(gaps_ms=(5_000,), absent=0.0)  # so that each hole's end is proved
        back_ms = chance.randint(1, 900) if chance.random() < troubles.disordered else 0
        late, lost = chance.random() < troubles.late, chance.random() < troubles.lost
        received_ms = at_ms + chance.randint(*_LATE_MS if late else _IN_TIME_MS)
        if not late:  # in the order of ids, then
            received_ms = before_ms = max(received_ms, before_ms)
        message = trade(
            exchange=EXCHANGE,
            symbol=SYMBOL,
            trade_id=trade_id,
            trade_time_ms=at_ms - back_ms,
            price=str(chance.randint(1, 50)),
            quantity=f"0.{trade_id}",
            buyer_is_maker=chance.random() < 0.5,
        )
        traded.append(Traded(message, at_ms, None if lost else received_ms))
        trade_id += chance.randint(2, 3) if chance.random() < troubles.absent else 1
        at_ms += round(chance.expovariate(1 / chance.choice(troubles.gaps_ms))) + 1
    return traded


class Topics:
    """The records of all producers so far, and what is wrong with their order."""

    def __init__(self) -> None:
        self.trades: dict[int, TradeMessage] = {}
        self.bars: dict[tuple[str, int], KlineMessage] = {}  # the newest version of each
        self.entries: list[Any] = []
        self.base: int | None = None  # id of the trade after which the series begins
        self.faults: list[str] = []

    def take(self, records: Sequence[Publish]) -> None:
        for topic, message, _ in records:
            if topic == LEDGER:
                self.entries.append(message)
            elif topic == TRADES:
                self.trades[message["trade_id"]] = message
            elif message["closed"]:
                self._take_bar(message)

    def _take_bar(self, bar: KlineMessage) -> None:
        at = bar["interval"], bar["open_time_ms"]
        was = self.bars.get(at)
        if was is not None and numbers_of(was) == numbers_of(bar):
            self.faults.append(f"{named(*at)} comes again as it was")
        elif was is not None and bar["trade_count"] < was["trade_count"]:
            self.faults.append(f"{named(*at)} has fewer trades than before")
        self.bars[at] = bar

    def start_positions(self) -> dict[str, StartPosition]:
        """What progress and the topics tell."""
        newest = dict(sorted(self.bars))
        known = {
            klines_series(EXCHANGE, SYMBOL, interval): StartPosition(open_ms)
            for interval, open_ms in newest.items()
        }
        if self.base is not None:
            last = max(self.trades, default=self.base)
            known[trades_series(EXCHANGE, SYMBOL)] = StartPosition(
                last, tuple(self._holes(self.base + 1, last)), time_ms=self._time_ms(last)
            )
        return known

    def _holes(self, first: int, last: int) -> Iterator[OpenHole]:
        held = IdRanges((each, each) for each in self.trades)
        for low, high in IdRanges([(first, last)]).difference(held) if first <= last else ():
            yield OpenHole(low, high, self._time_ms(low - 1), self.trades[high + 1]["trade_time_ms"])

    def _time_ms(self, trade_id: int) -> int | None:
        return self.trades[trade_id]["trade_time_ms"] if trade_id in self.trades else None

    def read_back(self, start_positions: dict[str, StartPosition], now_ms: int) -> ReadBack:
        found: list[KlineMessage] = []
        for windows in windows_of_built(
            EXCHANGE, [SYMBOL], INTERVALS, now_ms, start_positions=start_positions
        ):
            gathering = Gathering(windows.begins_ms[SYMBOL], windows.end_ms)
            for offset, bar in enumerate(self.bars.values()):
                if klines_topic(bar["interval"]) in windows.topics:
                    gathering.receive(klines_topic(bar["interval"]), offset, bar)
            found += gathering.found().bars
        return ReadBack(bars=tuple(found))

    def check(self, trades: Sequence[TradeMessage]) -> list[str]:
        """What is wrong, in words: bars of which no entry of the ledger tells, and entries of right ones."""
        faults = list(self.faults)
        for interval in INTERVALS:
            wrong, missing = self._entered(interval, "incomplete"), self._entered(interval, "lost")
            opens = [open_ms for name, open_ms in self.bars if name == interval]
            step = INTERVAL_MS[interval]
            if not opens or max(opens) < _CLOSED_MS - 2 * step:
                faults.append(f"bars {interval} end too early")
                continue
            for open_ms, numbers in exact(trades, interval, min(opens), max(opens)).items():
                bar = self.bars.get((interval, open_ms))
                right = bar is not None and numbers_of(bar) == numbers
                if not right and open_ms not in wrong | missing:
                    found = "missing" if bar is None else f"{numbers_of(bar)}, not {numbers}"
                    faults.append(f"{named(interval, open_ms)} is {found}")
                elif right and open_ms in wrong:
                    faults.append(f"{named(interval, open_ms)} is right, and entered as incomplete")
        return faults

    def _entered(self, interval: str, kind: str) -> set[int]:
        step = INTERVAL_MS[interval]
        return {
            open_ms
            for each in self.entries
            if (each["stream"], each["interval"], each["kind"]) == ("klines", interval, kind)
            for open_ms in range(each["first"], each["last"] + 1, step)
        }


def named(interval: str, open_ms: int) -> str:
    return f"bar {interval} at {(open_ms - BEGIN_MS) / SECOND:g} s"


class Producer:
    """One from its start to its end, and the records that it gives to Kafka."""

    def __init__(self, traded: Sequence[Traded], troubles: Troubles, chance: random.Random) -> None:
        self._traded, self._trails_ms, self._chance = traded, troubles.trails_ms, chance
        self._instrument = Instrument(
            EXCHANGE, SYMBOL, INTERVALS, book_interval_ms=0, warmup_bars=0, promises=KRAKEN.promises
        )
        self._now_ms = 0
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._subscribed_ms: int | None = None
        self._never = IdRanges()
        self.records: list[Publish] = []

    def live(self, topics: Topics, begin_ms: int, end_ms: int) -> None:
        """Start with what the topics have, and follow the market."""
        self._now_ms = begin_ms
        known = topics.start_positions()
        read_back = topics.read_back(known, begin_ms)
        self._run(self._instrument.begin(known, begin_ms, now_s=self._now_s, read_back=read_back))
        if topics.base is None:
            self._instrument.await_trade_base()
        self._after(300, 1_500, lambda: self._subscribe(topics))
        self._after(SECOND, SECOND, self._each_second)
        while self._due[0][0] < end_ms:
            self._now_ms, _, act = heapq.heappop(self._due)
            act()
        self._now_ms = end_ms

    def end(self) -> None:
        """End as asked to: all records are delivered."""
        self._instrument.end(self._now_ms, self._now_ms)
        self._run(self._instrument.tick())

    def kill(self) -> None:
        """Of each topic all records are delivered, or only those up to a common one."""
        most = len(self.records) - self._chance.randint(0, min(_MOST_CUT, len(self.records)))
        cut = {
            topic for topic in (TRADES, LEDGER, *map(klines_topic, INTERVALS)) if self._chance.random() < 0.5
        }
        self.records = [
            each for number, each in enumerate(self.records) if number < most or each.topic not in cut
        ]

    @property
    def _now_s(self) -> float:
        return (self._now_ms - BEGIN_MS) / SECOND

    def _after(self, least_ms: int, most_ms: int, act: Callable[[], None]) -> None:
        self._at(self._now_ms + self._chance.randint(least_ms, most_ms), act)

    def _at(self, at_ms: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (at_ms, next(self._order), act))

    def _run(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Publish():
                    self.records.append(effect)
                case ReadTrades(_, begins_ms, _):
                    self._after(300, 2_500, partial(self._read_page, begins_ms[0], 0))
                case FillTrades():
                    self._after(300, 2_500, partial(self._fill, effect))
                case ProveTrades():
                    self._after(300, 2_500, partial(self._prove, effect))
                case AskNewestTrades(_, delay_s):
                    self._after(500, 500 + round(delay_s * SECOND), self._newest)
                case ProbeStreams():
                    self._after(500, 500, self._probe)

    # --- The stream. ---

    def _subscribe(self, topics: Topics) -> None:
        base = max((each["trade_id"] for each in self._rest()), default=0)
        if topics.base is None:
            topics.base = base
        self._run(self._instrument.listen_after(base, self._now_ms, self._now_ms))
        self._reopen()
        for each in self._traded:
            if each.received_ms is not None and each.received_ms >= self._now_ms:
                self._at(each.received_ms, partial(self._receive, each.trade))

    def _reopen(self) -> None:
        """A subscription begins with the newest trades, which say no time of the message."""
        self._subscribed_ms = self._now_ms
        self._instrument.reopened(self._now_s)
        newest = [each.trade for each in self._traded if each.issued_ms <= self._now_ms][-_SNAPSHOT:]
        for message in newest:
            self._receive(message, event_time_ms=None)

    def _receive(self, message: TradeMessage, **fields: Any) -> None:
        received: Any = {**message, "received_time_ms": self._now_ms, **fields}
        self._run(self._instrument.receive("trade", received))

    def _each_second(self) -> None:
        now_ms = self._now_ms
        brought_to_ms = None if self._subscribed_ms is None else now_ms
        self._run(self._instrument.watch(self._now_s, now_ms, now_ms, brought_to_ms=brought_to_ms))
        self._run(self._instrument.retry(now_ms, self._now_s))
        self._run(self._instrument.tick())
        if self._instrument.uncarried and now_ms - (self._subscribed_ms or now_ms) >= _REPLACE_MS:
            self._reopen()  # and what was on its way comes nevertheless
        self._after(SECOND, SECOND, self._each_second)

    # --- REST. ---

    def _rest(self) -> list[TradeMessage]:
        return [
            {**each.trade, "source": "backfill", "event_time_ms": None, "received_time_ms": self._now_ms}
            for each in self._traded
            if each.issued_ms + self._trails_ms <= self._now_ms
        ]

    def _read_page(self, begin_ms: int, after_id: int) -> None:
        """As `KrakenRest.trades_from`: from a trade before the begin on."""
        known = self._rest()
        since_ms = begin_ms - _BACK_MS
        if not any(since_ms < each["trade_time_ms"] < begin_ms for each in known):
            since_ms = 0
        rows = [each for each in known if each["trade_time_ms"] > since_ms and each["trade_id"] > after_id][
            :_PAGE
        ]
        self._run(self._instrument.receive_history(begin_ms, rows, self._now_ms))
        if rows:
            self._after(200, 1_500, lambda: self._read_page(begin_ms, rows[-1]["trade_id"]))

    def _fill(self, asked: FillTrades) -> None:
        found = self._repair(asked)
        self._never = IdRanges(found.never)
        answer = self._instrument.receive_trade_rows(
            asked.first, asked.last, found.trades, self._now_ms, now_s=self._now_s
        )
        self._run(answer)

    def _repair(self, asked: FillTrades) -> Repair:
        known = self._rest()
        below = [each["trade_time_ms"] for each in known if each["trade_id"] < asked.first]
        rest = Rest(known, _PAGE)
        held = () if asked.beside is None else asked.beside.held
        before_ms = below[-1] if below else BEGIN_MS
        rules = RULES._replace(page=_PAGE)
        pages = SincePages(asked.first, asked.last, held, before_ms=before_ms, rules=rules)
        while not pages.done:
            pages.receive(*rest.since(pages.request()))
        return pages.repair()

    def _prove(self, asked: ProveTrades) -> None:
        never = list(self._never.within(asked.first, asked.last))
        issued = [(each["trade_id"],) * 2 for each in self._rest()]
        issued = [span for span in issued if asked.first <= span[0] <= asked.last]
        answer = self._instrument.receive_trade_proof(asked, issued, never, self._now_ms, now_s=self._now_s)
        self._run(answer)

    def _newest(self) -> None:
        self._run(self._instrument.receive_newest_trades(self._rest()[-1_000:], self._now_ms))

    def _probe(self) -> None:
        known = self._rest()
        result = ProbeResult(None, known[-1]["trade_id"], self._now_ms) if known else ProbeResult()
        self._instrument.receive_probe(result, self._now_s, self._now_ms)


def faults_of(troubles: Troubles, seed: int) -> list[str]:
    """What is wrong on the topics after some producers."""
    chance = random.Random(seed)
    times_ms = list(lifetimes(troubles, chance))
    traded = market(troubles, chance, times_ms[-1][0])
    topics = Topics()
    for begin_ms, end_ms in times_ms:
        producer = Producer(traded, troubles, chance)
        producer.live(topics, begin_ms, end_ms)
        if end_ms == _OVER_MS or chance.random() < 0.3:
            producer.end()
        else:
            producer.kill()
        topics.take(producer.records)
    return topics.check([each.trade for each in traded])


def lifetimes(troubles: Troubles, chance: random.Random) -> Iterator[tuple[int, int]]:
    """From when to when each producer runs."""
    begin_ms = BEGIN_MS
    for _ in range(_RESTARTS):
        end_ms = begin_ms + chance.randint(4_000, 40_000)
        yield begin_ms, end_ms
        begin_ms = end_ms + chance.randint(*troubles.down_ms)
    yield begin_ms, _OVER_MS
