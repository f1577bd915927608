"""Draws a schedule from a seed. Pure: equal seeds give equal schedules.

Every disturbance ends some time before the market does, so that everything can be complete again: what is
missing then is missing for good.

Half of the seeds know only a few families of disturbances, and often only one process that they strike, as in
swarm testing (Groce et al. 2012): what needs the same thing several times in a row is met there, and never
where everything can happen. Most markets are short, of one symbol: more seeds find more than longer ones.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.simulation.disturbances import (
    Away,
    ClockStep,
    Disturbance,
    ExchangeFault,
    Kill,
    Member,
    PowerCut,
    Rollovers,
    SlowNetwork,
    Stop,
    kind_of,
)
from tests.simulation.schedule import CONSUMERS, PRODUCER, SYMBOLS, Schedule

# Services are up, and a few bars stored.
_FROM_S: Final = 2.0
_AT_LEAST_S: Final = 0.5
# From the last disturbance's begin to the market's end, and from its end.
_ROOM_S: Final = 4.0
_CALM_S: Final = 2.0
_AFTER_HALT_S: Final = 5.0
_RATE_OF_HALTS: Final = 8.0
_MINUTE_MS: Final = 60_000
# Not 403 and 418, after which a client has to stay away for minutes.
_CLIENT_ERRORS: Final = (400, 401, 404, 451)
_PATHS: Final = ("klines", "trades", "historicalTrades", "depth", "exchangeInfo", "time", "aggTrades")
_EVENT_FAULTS: Final = (
    *("duplicate", "reorder", "skip", "skip", "malformed", "truncated"),
    *("wrong_type", "missing_field", "unknown_field"),
)
_REST_FAULTS: Final = (
    *("rest_429", "rest_5xx", "rest_4xx", "rest_dead", "rest_behind", "rest_timeout"),
    *("rest_garbage", "rest_old_snapshot", "rest_cut", "historical_trades_refused"),
)
# A step is one call of the event loop or one turn of a thread: a consumer makes some ten a second, a producer
# some hundreds.
_MOST_STEPS: Final = {PRODUCER: 300}
_FEW_STEPS: Final = 25
_OF_MINUTES: Final = "klines.1m"
# What a step has sent leaves within some milliseconds.
_DIES_S: Final = (0.0, 0.0, 0.001, 0.006)
_CLOCK_STEPS_S: Final = (-3_600.0, -30.0, -2.0, 2.0, 30.0, 3_600.0)
# Percentages of schedules by their numbers of disturbances; one is left alone.
_COUNTS: Final = ((4, 0), (24, 1), (46, 2), (64, 3), (80, 4), (92, 6), (100, 9))
# Of schedules of few families, which repeat themselves.
_FEW_COUNTS: Final = ((20, 2), (50, 4), (100, 6))
_FEW_PERCENT: Final = 50
# The shortest markets in which every family fits, and in which those fit that need time.
_SHORT_S: Final = (9, 12)
_LONG_S: Final = (18, 26)
_LONG_PERCENT: Final = 10
_SECOND_SYMBOL_PERCENT: Final = 15


Family = Callable[["Draw"], tuple[Disturbance, ...]]


class Draw:
    """Random choices of one schedule.

    Attributes:
        families: of its disturbances.
        processes: those that its disturbances strike; the producer more often than each consumer.
        long: whether the market has room for what needs time.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(f"schedule {seed}")
        self.few = self.percent(_FEW_PERCENT)
        self.long = self.percent(_LONG_PERCENT)
        self.families = self._families()
        self.long = self.long or _rollovers in self.families
        self.symbols = tuple(self.random.sample(SYMBOLS, 1 + self.percent(_SECOND_SYMBOL_PERCENT)))
        self.seconds = float(self.random.randint(*(_LONG_S if self.long else _SHORT_S)))
        self.processes: tuple[str, ...] = (PRODUCER, PRODUCER, *CONSUMERS)
        if self.few and self.percent(70):
            self.processes = (self.of((PRODUCER, *CONSUMERS)),)
        # When the minute ends.
        self.minute_s = self.between(2.0, self.seconds - 3.0)
        self.faults = 0

    def _families(self) -> tuple[Family, ...]:
        if not self.few:
            return FAMILIES if self.long else _FAMILIES_OF_SHORT
        return tuple(self.random.sample(_EACH_FAMILY, self.of((1, 1, 1, 2))))

    def count(self) -> int:
        """Of disturbances, at least."""
        number = self.random.randrange(100)
        return next(count for share, count in (_FEW_COUNTS if self.few else _COUNTS) if number < share)

    def of(self, choices: Sequence[Any]) -> Any:
        return self.random.choice(choices)

    def some(self, choices: Sequence[str]) -> str:
        """One or more of them in their order, as a fault names them."""
        chosen = set(self.random.sample(choices, self.random.randint(1, len(choices))))
        return "+".join(choice for choice in choices if choice in chosen)

    def between(self, low: float, high: float) -> float:
        return round(self.random.uniform(low, high), 2)

    def percent(self, share: int) -> bool:
        return self.random.randrange(100) < share

    def at(self) -> float:
        """When something begins."""
        return self.between(_FROM_S, self.seconds - _ROOM_S)

    def until(self, at_s: float, longest_s: float) -> float:
        """When something ends that begins at a time."""
        return self.between(at_s + 0.2, min(at_s + longest_s, self.seconds - _CALM_S))

    def span(self, longest_s: float) -> dict[str, float]:
        at_s = self.at()
        return {"from": at_s, "to": self.until(at_s, longest_s)}

    def fault(self, kind: str, **keys: object) -> ExchangeFault:
        pairs = ",".join(f"{name}={value}" for name, value in keys.items())
        self.faults += 1
        return ExchangeFault(f"{kind}:{pairs}", self.faults - 1)

    def one_symbol(self) -> dict[str, str]:
        """Of some faults: one symbol alone."""
        return {"symbols": self.of(self.symbols)} if self.percent(50) else {}


def schedule_of(seed: int) -> Schedule:
    """The schedule of a seed."""
    draw = Draw(seed)
    # A minute ends within: a 1m bar closes, which most disturbances can meet.
    minute_ms = 1_790_000_000_000 // _MINUTE_MS * _MINUTE_MS
    count = draw.count()
    found: list[Disturbance] = []
    while len(found) < count:
        found += draw.of(draw.families)(draw)
    found = [each for index, each in enumerate(found) if not _repeated(each, found[:index])]
    rate = draw.of((1.0, 2.0, 4.0) if draw.long else (1.0, 1.0, 2.0))
    if any(kind_of(each) == "halt" for each in found):
        found = [each for each in found if _beside_a_halt(each)]
        # Its bars are known to have never been by the ids of the trades before and after it: there are some.
        rate = _RATE_OF_HALTS
    return Schedule(
        seed,
        # No bar ends with the very first event.
        start_ms=minute_ms - round(draw.minute_s * 1000),
        symbols=draw.symbols,
        seconds=draw.seconds,
        rate=rate,
        warmup_bars=_warmup_bars(draw, found),
        disturbances=tuple(found),
    )


def _repeated(disturbance: Disturbance, before: Sequence[Disturbance]) -> bool:
    """Whether it is of a kind of which there is one in a run."""
    only_once = isinstance(disturbance, Rollovers | SlowNetwork) or kind_of(disturbance) == "halt"
    return only_once and any(kind_of(each) == kind_of(disturbance) for each in before)


def _beside_a_halt(disturbance: Disturbance) -> bool:
    """Whether bars still come by the stream, whose trade ids prove that none was made in the halt."""
    match disturbance:
        case ExchangeFault():
            return kind_of(disturbance) in ("halt", "unknown_field", "duplicate", "clock_skew")
        case Kill(process=process) | Stop(process=process):
            return process != PRODUCER
        case Away(server=server):
            return server == "store"
        case _:
            return not isinstance(disturbance, PowerCut | Rollovers)


def _warmup_bars(draw: Draw, found: Sequence[Disturbance]) -> int:
    drawn: int = draw.of((0, 3, 20))
    # A broker may lose that a series has begun at all: earlier bars come only as a warm-up then.
    return 50 if any(isinstance(each, PowerCut) for each in found) else drawn


def _events(draw: Draw) -> tuple[Disturbance, ...]:
    kind = draw.of(_EVENT_FAULTS)
    keys: dict[str, object] = {**draw.span(20), "probability": draw.of((0.02, 0.1, 0.5)), **draw.one_symbol()}
    if draw.percent(50):
        keys["streams"] = draw.some(("trade", "depth", "kline", "quote"))
    if kind == "reorder":
        keys["distance"] = draw.random.randint(1, 4)
    return (draw.fault(kind, **keys),)


def _bars(draw: Draw) -> tuple[Disturbance, ...]:
    kind = draw.of(("late_kline", "missing_kline", "revised_kline", "wrong_kline"))
    return (draw.fault(kind, **draw.span(20), probability=draw.of((0.1, 0.5)), **draw.one_symbol()),)


def _a_stream_falls_silent(draw: Draw) -> tuple[Disturbance, ...]:
    streams = draw.some(("trade", "depth", "kline", "quote"))
    return (draw.fault("skip", **draw.span(15), streams=streams, **draw.one_symbol()),)


def _connection(draw: Draw) -> tuple[Disturbance, ...]:
    kind = draw.of(("drop", "drop", "silent", "slow", "shutdown", "early_close", "mute"))
    keys: dict[str, object] = {"at": draw.at()}
    if kind == "silent":
        keys["duration"] = draw.between(1, 14)
    if kind == "slow":
        keys |= {"duration": draw.between(1, 6), "bytes_per_s": draw.of((2_000, 20_000))}
    if kind == "shutdown":
        keys["lead"] = draw.between(0, 3)
    return (draw.fault(kind, **keys),)


def _refused(draw: Draw) -> tuple[Disturbance, ...]:
    refused = draw.span(10)
    cut = draw.fault("drop", at=refused["from"])
    return (cut, draw.fault("stream_refused", **refused, status=draw.of((500, 503))))


def _rest(draw: Draw) -> tuple[Disturbance, ...]:
    kind = draw.of(_REST_FAULTS)
    keys: dict[str, object] = dict(draw.span(12))
    if kind == "rest_4xx":
        keys["status"] = draw.of(_CLIENT_ERRORS)
    if kind == "rest_behind":
        keys["age"] = draw.between(1, 20)
    if kind == "rest_timeout":
        keys["duration"] = draw.between(0.5, 5)
    if kind not in ("rest_old_snapshot", "historical_trades_refused") and draw.percent(60):
        keys["paths"] = draw.some(_PATHS)
    if draw.percent(50):
        keys["probability"] = 0.5
    if kind == "rest_behind":
        # It is seen only where the newest rows are asked for, which is seldom.
        keys = {name: value for name, value in keys.items() if name not in ("paths", "probability")}
    # Something to ask REST for.
    streams = "depth" if kind == "rest_old_snapshot" else "trade+kline"
    holes = draw.fault("skip", **draw.span(6), streams=streams, probability=draw.of((0.1, 0.3)))
    return (holes, draw.fault(kind, **keys))


def _halt(draw: Draw) -> tuple[Disturbance, ...]:
    # Only trades after it prove that none was missed in it.
    at_s = draw.between(_FROM_S, draw.seconds - _AFTER_HALT_S - 1.2)
    duration_s = draw.between(0.8, draw.seconds - _AFTER_HALT_S - at_s)
    return (draw.fault("halt", at=at_s, duration=duration_s, **draw.one_symbol()),)


def _exchange_clock(draw: Draw) -> tuple[Disturbance, ...]:
    return (draw.fault("clock_skew", **draw.span(10), offset_ms=draw.of((-1_500, -300, 300, 1_500))),)


def _kill(draw: Draw) -> tuple[Disturbance, ...]:
    return tuple(_one_kill(draw) for _ in range(draw.of((1, 1, 2))))


def _one_kill(draw: Draw) -> Kill:
    process = draw.of(draw.processes)
    step = draw.random.randrange(_MOST_STEPS.get(process, _FEW_STEPS))
    return Kill(process, draw.at(), step, draw.of((0.1, 0.5, 3.0)), draw.of(_DIES_S))


def _kill_at_the_start(draw: Draw) -> tuple[Disturbance, ...]:
    """Once more while it is starting again."""
    first = _one_kill(draw)
    again = Kill(first.process, first.at_s + first.away_s, draw.random.randrange(40), 0.2, draw.of(_DIES_S))
    return (first, again)


def _stop(draw: Draw) -> tuple[Disturbance, ...]:
    process = draw.of(draw.processes)
    return (Stop(process, draw.at(), draw.of((0.1, 1.0, 5.0))),)


def _kill_at_the_stop(draw: Draw) -> tuple[Disturbance, ...]:
    """While it ends in good order."""
    process, at_s = draw.of(draw.processes), draw.at()
    step = draw.random.randrange(60 if process == PRODUCER else 12)
    return (Stop(process, at_s, 0.5), Kill(process, at_s, step, 0.5, draw.of(_DIES_S)))


def _away_when_a_minute_ends(draw: Draw) -> tuple[Disturbance, ...]:
    """The first bar of a longer interval closes while somebody is gone, often who stores it."""
    at_s = round(max(draw.minute_s - draw.between(0.0, 2.5), _AT_LEAST_S), 2)
    process = _OF_MINUTES if draw.percent(40) else draw.of(draw.processes)
    return (Stop(process, at_s, draw.of((0.1, 1.0, 3.0))),)


def _killed_again_and_again(draw: Draw) -> tuple[Disturbance, ...]:
    """One process, at a random step of each of some seconds."""
    process, at_s = draw.of(draw.processes), draw.at()
    kills = []
    while at_s < draw.seconds - _ROOM_S:
        step = draw.random.randrange(_MOST_STEPS.get(process, _FEW_STEPS))
        kills.append(Kill(process, round(at_s, 2), step, 0.1, draw.of(_DIES_S)))
        at_s += draw.between(1.0, 2.5)
    return tuple(kills)


def _away(draw: Draw) -> tuple[Disturbance, ...]:
    at_s = draw.at()
    return (Away(draw.of(("broker", "store")), at_s, round(draw.until(at_s, 12) - at_s, 2)),)


def _power_cut(draw: Draw) -> tuple[Disturbance, ...]:
    return (PowerCut(draw.at(), draw.of((0.5, 3.0))),)


def _member(draw: Draw) -> tuple[Disturbance, ...]:
    at_s = draw.at()
    return (Member(draw.of(CONSUMERS), at_s, draw.until(at_s, 15)),)


def _clock_step(draw: Draw) -> tuple[Disturbance, ...]:
    at_s = draw.at()
    process = draw.of(draw.processes)
    return (ClockStep(process, at_s, draw.until(at_s, 15), draw.of(_CLOCK_STEPS_S)),)


def _rollovers(draw: Draw) -> tuple[Disturbance, ...]:
    # A quiet stream takes ten seconds to be taken over, in which the next connection must not end.
    return (Rollovers(draw.between(12, 16), draw.between(1, 4)),)


def _slow_network(draw: Draw) -> tuple[Disturbance, ...]:
    # At its end a producer waits for a second for two round trips.
    return (SlowNetwork(draw.of((0.03, 0.1, 0.2))),)


# Those that have found most come several times.
_FAMILIES_OF_SHORT: Final[tuple[Family, ...]] = (
    *(_kill, _kill, _kill, _kill_at_the_start, _stop, _stop, _kill_at_the_stop, _kill_at_the_stop),
    *(_away_when_a_minute_ends, _killed_again_and_again),
    *(_events, _events, _events, _bars, _a_stream_falls_silent, _connection, _connection, _refused),
    *(_rest, _rest, _rest, _rest, _rest, _halt, _exchange_clock),
    *(_away, _away, _power_cut, _member, _member, _clock_step, _slow_network),
)
FAMILIES: Final = (*_FAMILIES_OF_SHORT, _rollovers)
_EACH_FAMILY: Final = tuple(dict.fromkeys(FAMILIES))
