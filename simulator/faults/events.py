"""The faults between 'event made' and 'event sent': a pure machine in the market's time."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from simulator.faults import alterations
from simulator.faults.schedule import Draw, Occasions, Strike, moments, spans
from simulator.faults.script import Fault
from simulator.faults.targets import Target, identity_of, is_final, strikes, target_of
from simulator.protocol.envelopes import Outgoing


class Send(NamedTuple):
    """Put this on its stream's connections."""

    event: Outgoing


class Hit(NamedTuple):
    """An event was struck.

    Attributes:
        first: it begins a firing.
        withheld: the event as the exchange issued it is not sent.
        marked: it is worth a line of the log.
    """

    fault: Fault
    event: Outgoing
    first: bool
    withheld: bool
    marked: bool = True


class Lie(NamedTuple):
    """An event that the exchange never issued is sent, in the form of one that it may have."""

    fault: Fault
    event: Outgoing


class Fire(NamedTuple):
    """A fault of connections strikes now, or one of the market begins (then until `until_ms`)."""

    fault: Fault
    at_ms: int
    until_ms: float


Effect = Send | Hit | Lie | Fire

_WITHHOLDING = frozenset(
    (
        *("skip", "malformed", "truncated", "wrong_type", "missing_field", "missing_kline", "wrong_kline"),
        *("wrong_trade_id", "far_trade_time"),
    )
)


@dataclass(slots=True)
class _Swapped:
    """An event that waits until so many others of its stream have been sent."""

    event: Outgoing
    left: int


class _Armed(NamedTuple):
    fault: Fault
    draw: Draw
    occasions: Occasions


class EventFaults:
    """All scripted faults but those of REST.

    Decisions depend on the events and their times only, not on how they are divided into calls.

    Args:
        begin_ms: when the world's clock begins.

    Attributes:
        scripted: there is any fault; without one, `step` has nothing to decide.
    """

    def __init__(self, faults: Sequence[Fault], seed: int, begin_ms: int) -> None:
        self.scripted = False
        self._seed = seed
        self._armed: list[_Armed] = []
        self._skews: list[tuple[Fault, list[tuple[int, float]]]] = []
        # (time, tie-break, what); timed faults are iterators of which the next moment is in here.
        self._timed: list[tuple[float, int, Fire, Iterator[Fire]]] = []
        self._of_stream: dict[str, tuple[Target | None, list[_Armed]]] = {}
        self._late: list[tuple[float, int, Outgoing]] = []
        self._order = 0
        self._swapped: defaultdict[str, list[_Swapped]] = defaultdict(list)
        for fault in faults:
            self.add(fault, begin_ms)

    def add(self, fault: Fault, begin_ms: int) -> None:
        """One more, whose times count from `begin_ms`; not between two effects of a `step`."""
        self.scripted = True
        self._of_stream.clear()
        draw = Draw(self._seed, fault)
        match fault.declared.place:
            case "event":
                self._armed.append(_Armed(fault, draw, Occasions(fault, draw, begin_ms)))
            case "connection":
                self._arm(_fires(fault, moments(fault, draw, begin_ms)))
            case "market":
                covered = spans(fault, draw, begin_ms)
                self._arm(iter([Fire(fault, *span) for span in covered]))
                if fault.kind == "clock_skew":
                    self._skews.append((fault, covered))

    def step(self, events: Sequence[Outgoing], until_ms: int) -> Iterator[Effect]:
        """What becomes of the events up to a time; consume all of it before the next call."""
        for event in events:
            yield from self._timely(event.time_ms)
            yield from self._skewed(event.time_ms, self._meet(event))
        yield from self._timely(until_ms)

    def release(self) -> Iterator[Effect]:
        """Send everything that is held back: the market stops here."""
        held = [heapq.heappop(self._late)[2] for _ in range(len(self._late))]
        held += [swapped.event for waiting in self._swapped.values() for swapped in waiting]
        self._swapped.clear()
        for event in held:
            yield from self._skewed(event.time_ms, iter((Send(event),)))

    def _arm(self, fires: Iterator[Fire]) -> None:
        fire = next(fires, None)
        if fire is not None:
            heapq.heappush(self._timed, (fire.at_ms, fire.fault.index, fire, fires))

    def _timely(self, time_ms: int) -> Iterator[Effect]:
        """Timed faults and late events that are due, in order."""
        while True:
            timed = self._timed[0][0] if self._timed else math.inf
            late = self._late[0][0] if self._late else math.inf
            if min(timed, late) > time_ms:
                return
            if timed <= late:
                _, _, fire, fires = heapq.heappop(self._timed)
                self._arm(fires)
                yield fire
            else:
                _, _, event = heapq.heappop(self._late)
                yield from self._skewed(time_ms, iter((Send(event),)))

    def _meet(self, event: Outgoing) -> Iterator[Effect]:
        known = self._of_stream.get(event.stream)
        if known is None:
            known = self._of_stream[event.stream] = self._faults_of(event.stream)
        target, armed = known
        sent: Iterator[Effect] = iter((Send(event),))
        if target is not None and armed:
            identity = identity_of(target.kind, event.event)
            for fault, draw, occasions in armed:
                if fault.declared.finals and not is_final(event.event):
                    continue
                strike = occasions.meet(event.time_ms, event.stream, identity)
                if strike is not Strike.NO:
                    withheld = fault.kind in _WITHHOLDING
                    yield Hit(fault, event, strike is Strike.FIRST, withheld)
                    sent = self._struck(fault, event, target, draw.number(event.stream + "#", identity))
                    break
        for effect in sent:
            yield effect
            yield from self._swapped_with(event.stream)

    def _faults_of(self, stream: str) -> tuple[Target | None, list[_Armed]]:
        target = target_of(stream)
        return target, [armed for armed in self._armed if target and strikes(armed.fault, target)]

    def _swapped_with(self, stream: str) -> Iterator[Effect]:
        """One more event of a stream was sent: those that waited for it follow."""
        waiting = self._swapped.get(stream)
        if not waiting:
            return
        for swapped in waiting:
            swapped.left -= 1
        for swapped in [swapped for swapped in waiting if swapped.left <= 0]:
            waiting.remove(swapped)
            yield Send(swapped.event)

    def _struck(self, fault: Fault, event: Outgoing, target: Target, draw: int) -> Iterator[Effect]:
        options = fault.options
        match fault.kind:
            case "duplicate":
                yield Send(event)
                self._delay(event.changed(event.event, genuine=False), options["delay"])
            case "reorder":
                self._swapped[event.stream].append(_Swapped(event, options["distance"]))
            case "malformed":
                yield Send(alterations.malformed(event, draw))
            case "truncated":
                yield Send(alterations.truncated(event, draw))
            case "wrong_type":
                yield Send(alterations.wrong_type(event, target.kind, draw))
            case "missing_field":
                yield Send(alterations.missing_field(event, target.kind, draw))
            case "unknown_field":
                yield Send(alterations.unknown_field(event, draw))
            case "late_kline":
                self._delay(event, options["delay"])
            case "revised_kline":
                yield Send(event)
                self._delay(alterations.other_bar(event), options["delay"])
            case "wrong_kline":
                yield Send(alterations.other_bar(event))
            case "future_bar" | "wrong_trade_id" | "far_trade_time":
                yield from _lied(fault, event)
        # skip, missing_kline: nothing is sent.

    def _delay(self, event: Outgoing, delay_s: float) -> None:
        self._order += 1
        heapq.heappush(self._late, (event.time_ms + delay_s * 1000, self._order, event))

    def _skewed(self, time_ms: int, effects: Iterator[Effect]) -> Iterator[Effect]:
        """The effects with the stamps of a wrong clock, where one is wrong."""
        if not self._skews:
            yield from effects
            return
        for effect in effects:
            if isinstance(effect, Send):
                event = effect.event
                for fault, covered in self._skews:
                    if "E" in event.event and _covers(covered, time_ms):
                        yield Hit(fault, event, first=False, withheld=False, marked=False)
                        event = alterations.with_clock(event, round(fault.options["offset_ms"]))
                yield Send(event)
            else:
                yield effect


def _lied(fault: Fault, event: Outgoing) -> Iterator[Effect]:
    match fault.kind:
        case "future_bar":
            yield Send(event)
            lie = alterations.future_bar(event, fault.options["ahead"])
        case "wrong_trade_id":
            lie = alterations.with_trade_id(event, fault.options["trade_id"])
        case _:
            lie = alterations.with_trade_time(event, round(fault.options["offset_ms"]))
    yield Lie(fault, lie)
    yield Send(lie)


def _fires(fault: Fault, times_ms: Iterator[int]) -> Iterator[Fire]:
    for at_ms in times_ms:
        yield Fire(fault, at_ms, at_ms)


def _covers(covered: Sequence[tuple[int, float]], time_ms: int) -> bool:
    return any(begin <= time_ms < end for begin, end in covered)
