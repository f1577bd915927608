"""Faults of events, between making and sending them, in the market's time. Pure."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from simulator.faults.schedule import Draw, Occasions, Strike, covers, moments, spans
from simulator.faults.script import Fault
from simulator.faults.targets import Target, strikes
from simulator.outgoing import Outgoing
from simulator.protocols.port import Dialect


class Send(NamedTuple):
    """Send this on its stream's connections."""

    event: Outgoing


class Hit(NamedTuple):
    """An event was struck.

    Attributes:
        first: it begins a firing.
        withheld: the event as the exchange issued it is not sent.
        marked: it gets a line of the log.
    """

    fault: Fault
    event: Outgoing
    first: bool
    withheld: bool
    marked: bool = True


class Lie(NamedTuple):
    """A well-formed event that the exchange never issued is sent."""

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
    """An event that waits until `left` others of its stream have been sent."""

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
        scripted: there is a fault; without one, `step` is not needed.
    """

    def __init__(self, faults: Sequence[Fault], seed: int, begin_ms: int, dialect: Dialect) -> None:
        self.scripted = False
        self._dialect = dialect
        self._seed = seed
        self._armed: list[_Armed] = []
        self._skews: list[tuple[Fault, list[tuple[int, float]]]] = []
        # (time, tie-break, next firing, later firings) of each timed fault.
        self._timed: list[tuple[float, int, Fire, Iterator[Fire]]] = []
        self._of_stream: dict[str, tuple[Target | None, list[_Armed]]] = {}
        self._late: list[tuple[float, int, Outgoing]] = []
        self._order = 0
        self._swapped: defaultdict[str, list[_Swapped]] = defaultdict(list)
        for fault in faults:
            self.add(fault, begin_ms)

    def add(self, fault: Fault, begin_ms: int) -> None:
        """Add a fault whose times count from `begin_ms`; not between two effects of a `step`."""
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
        """The effects of events up to a time; consume all of them before the next call."""
        for event in events:
            yield from self._timely(event.time_ms)
            yield from self._skewed(event.time_ms, self._meet(event))
        yield from self._timely(until_ms)

    def release(self) -> Iterator[Effect]:
        """Send all events held back: the market stops here."""
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
        """Timed faults and delayed events that are due, in order."""
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
            identity = self._dialect.identity_of(target.kind, event)
            for fault, draw, occasions in armed:
                if fault.declared.finals and not self._dialect.is_final(event):
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
        target = self._dialect.target_of(stream)
        # What only the log follows has no frame that a fault could alter or withhold.
        if target is None or not self._dialect.carried(stream):
            return target, []
        return target, [armed for armed in self._armed if strikes(armed.fault, target)]

    def _swapped_with(self, stream: str) -> Iterator[Effect]:
        """An event of a stream was sent: send those that waited for it."""
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
            case "skip" | "missing_kline":
                pass  # nothing is sent
            case "late_kline":
                self._delay(event, options["delay"])
            case "revised_kline":
                yield Send(event)
                self._delay(self._dialect.altered(fault, target, event, draw), options["delay"])
            case "future_bar" | "wrong_trade_id" | "far_trade_time":
                if fault.kind == "future_bar":
                    yield Send(event)
                lie = self._dialect.altered(fault, target, event, draw)
                yield Lie(fault, lie)
                yield Send(lie)
            case _:
                yield Send(self._dialect.altered(fault, target, event, draw))

    def _delay(self, event: Outgoing, delay_s: float) -> None:
        self._order += 1
        heapq.heappush(self._late, (event.time_ms + delay_s * 1000, self._order, event))

    def _skewed(self, time_ms: int, effects: Iterator[Effect]) -> Iterator[Effect]:
        """The effects, stamped by a wrong clock while a fault skews it."""
        if not self._skews:
            yield from effects
            return
        for effect in effects:
            if isinstance(effect, Send):
                event = effect.event
                for fault, covered in self._skews:
                    if not covers(covered, time_ms):
                        continue
                    stamped = self._dialect.with_clock(event, round(fault.options["offset_ms"]))
                    if stamped is not None:
                        yield Hit(fault, event, first=False, withheld=False, marked=False)
                        event = stamped
                yield Send(event)
            else:
                yield effect


def _fires(fault: Fault, times_ms: Iterator[int]) -> Iterator[Fire]:
    for at_ms in times_ms:
        yield Fire(fault, at_ms, at_ms)
