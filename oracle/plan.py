"""What goes wrong in a seeded run: faults and lies of the exchange, kills, wrong clocks, restarts. Pure.

Equal seeds give equal plans. All times are seconds since the exchange began; its faults are those of
`cryptostream simulate --faults`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

Fault = Mapping[str, Any]
What = Literal["kill", "freeze", "clock", "remove-store", "freeze-store", "power-cut"]
Broker = Literal["memory", "kafka"]
Store = Literal["sqlite", "influxdb"]

_SYMBOLS: Final = ("BTCUSDC", "ETHUSDC", "XRPUSDC", "SOLUSDC")
_INTERVALS: Final = (("1s", "1m"), ("1s", "1m"), ("1m",), ("1s",))
# Services are up at the first fault, and a proof of fifteen seconds fits in before the end.
_DURATION_S: Final = 45.0
_DISTURBED_FROM_S: Final = (14.0, 22.0)
_HOUR_S: Final = 3_600.0
JUMPS_S: Final = tuple(sign * size for size in (_HOUR_S, 24 * _HOUR_S, 720 * _HOUR_S) for sign in (1, -1))
_CLIENT_ERRORS: Final = (400, 401, 403, 404, 451)
_FILL_PATHS: Final = ("klines", "trades", "historicalTrades", "aggTrades")
# Two invocations, the second one long enough to fill the gaps of the first.
_TWICE_S: Final = (25.0, 28.0)
_ONCE_S: Final = (_DURATION_S,)
# The broker has written for some tens of seconds before the cut, and there is time to fetch it all again.
_POWER_CUT_S: Final = 26.0
_AFTER_POWER_CUT_S: Final = (40.0, 40.0)
# Percentages of plans that are undisturbed, that run on a real broker, and that run on InfluxDB.
_LEFT_ALONE, _ON_KAFKA, _ON_INFLUXDB = 4, 8, 8


@dataclass(frozen=True, slots=True)
class Act:
    """A fault of the machine.

    A power cut ends every process at once and truncates every file of the broker.

    Attributes:
        target: the process to kill, or to freeze up to the end, by one of its arguments.
        seconds: error of the clock.
        until_s: when the clock is right again.
    """

    at_s: float
    what: What
    target: str = ""
    seconds: float = 0.0
    until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One run.

    Attributes:
        durations_s: of each invocation on the same data.
        title: the faults in a few words.
    """

    seed: int
    title: str
    symbols: tuple[str, ...]
    intervals: tuple[str, ...]
    broker: Broker = "memory"
    store: Store = "sqlite"
    durations_s: tuple[float, ...] = (_DURATION_S,)
    faults: tuple[Fault, ...] = ()
    acts: tuple[Act, ...] = ()

    @property
    def undisturbed(self) -> bool:
        return not self.faults and not self.acts and len(self.durations_s) == 1


class _Draw:
    """Random choices for one plan."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.symbols = tuple(self._random.sample(_SYMBOLS, 2))
        self.intervals = self._random.choice(_INTERVALS)
        self.from_s = round(self._random.uniform(*_DISTURBED_FROM_S), 1)

    def of(self, choices: Sequence[Any]) -> Any:
        return self._random.choice(choices)

    def some(self, choices: Sequence[str]) -> list[str]:
        """One or more of them, in their order."""
        count = self._random.randint(1, len(choices))
        chosen = set(self._random.sample(choices, count))
        return [choice for choice in choices if choice in chosen]

    def between(self, low: float, high: float) -> float:
        return round(self._random.uniform(low, high), 1)

    def percent(self) -> int:
        return self._random.randrange(100)

    def one_symbol(self) -> list[str]:
        return [self.of(self.symbols)]


@dataclass(frozen=True, slots=True)
class _Part:
    """A family's share of a plan."""

    title: str
    faults: tuple[Fault, ...] = ()
    acts: tuple[Act, ...] = ()
    durations_s: tuple[float, ...] = (_DURATION_S,)
    broker: Broker | None = None


def plan(seed: int) -> Plan:
    """The plan of a seed."""
    draw = _Draw(seed)
    bare = Plan(seed, "left alone", draw.symbols, draw.intervals)
    broker, store = draw.percent(), draw.percent()
    bare = replace(
        bare,
        broker="kafka" if broker < _ON_KAFKA else "memory",
        store="influxdb" if store < _ON_INFLUXDB else "sqlite",
    )
    if draw.percent() < _LEFT_ALONE:
        return bare
    # Families in turn, so that consecutive seeds cover all of them; half of the plans get a second one.
    parts = [FAMILIES[seed % len(FAMILIES)](draw)]
    if draw.percent() < 50:
        parts.append(draw.of(FAMILIES)(draw))
    brokers = [part.broker for part in parts if part.broker is not None]
    return replace(
        bare,
        title=" + ".join(part.title for part in parts),
        # Only SQLite has a file that can be removed.
        store="sqlite"
        if any(act.what == "remove-store" for part in parts for act in part.acts)
        else bare.store,
        broker=brokers[0] if brokers else bare.broker,
        durations_s=max((part.durations_s for part in parts), key=sum),
        faults=tuple(fault for part in parts for fault in part.faults),
        acts=tuple(sorted((act for part in parts for act in part.acts), key=lambda act: act.at_s)),
    )


def _refused_at_first(draw: _Draw) -> _Part:
    fault: dict[str, Any] = {"kind": "stream_refused", "from": 0}
    if draw.percent() < 50:
        fault["to"] = draw.between(18, 30)
    return _Part("no stream from the start", (fault,))


def _refused_again(draw: _Draw) -> _Part:
    refused = {"kind": "stream_refused", "from": draw.from_s - 1}
    if draw.percent() < 30:
        refused["to"] = draw.from_s + draw.between(8, 15)
    return _Part("connections die and none opens", ({"kind": "drop", "at": draw.from_s}, refused))


def _streams_die(draw: _Draw) -> _Part:
    kind = draw.of(("skip", "skip", "mute"))
    when = {"from": draw.from_s} if kind == "skip" else {"at": draw.from_s}
    fault: dict[str, Any] = {"kind": kind, **when}
    what = draw.of(("all", "a symbol", "a stream", "a stream of a symbol"))
    if "symbol" in what:
        fault["symbols"] = draw.one_symbol()
    if "stream" in what:
        fault["streams"] = [draw.of(("trade", "trade", "depth", "kline", "quote"))]
    return _Part(f"{kind}: {what} dies on a living connection", (fault,))


def _rest_refuses(draw: _Draw) -> _Part:
    fault: dict[str, Any] = draw.of(
        (
            {"kind": "rest_4xx", "status": draw.of(_CLIENT_ERRORS)},
            {"kind": "rest_5xx"},
            {"kind": "rest_dead"},
            {"kind": "rest_behind", "age": draw.between(5, 30)},
            {"kind": "rest_429", "retry_after": 3},
        )
    )
    fault = {**fault, "from": draw.from_s - 5, "to": draw.from_s + draw.between(10, 40)}
    if fault["kind"] != "rest_behind" and draw.percent() < 70:
        fault["paths"] = draw.some(_FILL_PATHS)
    # Holes, so that REST is used at all.
    holes = {"kind": "skip", "from": draw.from_s, "to": draw.from_s + 10, "probability": 0.2}
    return _Part(f"holes while {fault['kind']}", (fault, {**holes, "streams": ["trade", "kline"]}))


def _rest_dead_as_well(draw: _Draw) -> _Part:
    stream = _streams_die(draw)
    return _Part(
        f"{stream.title}, REST as well", (*stream.faults, {"kind": "rest_dead", "from": draw.from_s})
    )


def _time_refused(draw: _Draw) -> _Part:
    fault = {"kind": "rest_4xx", "status": 451, "paths": ["time"], "from": draw.of((0, draw.from_s))}
    return _Part("451 on /time", (fault,))


def _new_listing(draw: _Draw) -> _Part:
    at_s = draw.between(12, 20)
    drop = {"kind": "drop", "at": round(at_s + draw.between(0.3, 3), 1)}
    refused = {"kind": "stream_refused", "from": at_s, "to": at_s + draw.between(3, 8)}
    listing = {"kind": "new_listing", "at": at_s, "symbols": draw.one_symbol()}
    return _Part("new listing, connection away over its first borders", (listing, drop, refused))


def _ids_anew(draw: _Draw) -> _Part:
    fault: dict[str, Any] = {"kind": "ids_anew", "at": draw.from_s, "symbols": draw.one_symbol()}
    faults: tuple[Fault, ...] = (fault,)
    if draw.percent() < 50:
        faults = (fault, {"kind": "drop", "at": round(fault["at"] + draw.between(-1, 3), 1)})
    return _Part("ids begin anew", faults, durations_s=_TWICE_S if draw.percent() < 40 else _ONCE_S)


def _lies(draw: _Draw) -> _Part:
    fault: dict[str, Any] = draw.of(
        (
            {"kind": "wrong_trade_id"},
            {"kind": "wrong_trade_id", "trade_id": draw.of((-1, 2**53, 2**63 - 1, 10**12))},
            {"kind": "far_trade_time", "offset_ms": round(draw.of(JUMPS_S) * 1000)},
            {"kind": "future_bar", "ahead": draw.of((_HOUR_S, 50 * _HOUR_S, 100 * _HOUR_S))},
        )
    )
    fault = {**fault, "at": draw.from_s, "symbols": draw.one_symbol()}
    return _Part(
        f"a lie: {fault['kind']}", (fault,), durations_s=_TWICE_S if draw.percent() < 50 else _ONCE_S
    )


def _exchange_clock(draw: _Draw) -> _Part:
    kind = draw.of(("clock_skew", "time_jump"))
    offset_ms = round(draw.of(JUMPS_S) * 1000)
    fault: dict[str, Any] = {"kind": kind, "offset_ms": offset_ms, "from": draw.of((0, draw.from_s))}
    if draw.percent() < 50:
        fault["to"] = draw.from_s + draw.between(5, 15)
    return _Part(f"the exchange's clock is {offset_ms / 3_600_000:+g} h off ({kind})", (fault,))


def _host_clock(draw: _Draw) -> _Part:
    seconds = draw.of((*JUMPS_S, 8 * 24 * _HOUR_S))
    until_s = draw.from_s + draw.between(2, 30)
    act = Act(draw.from_s, "clock", seconds=seconds, until_s=until_s)
    return _Part(
        f"the host's clock is {seconds / _HOUR_S:+g} h off",
        acts=(act,),
        durations_s=_TWICE_S if draw.percent() < 30 else _ONCE_S,
    )


def _kills(draw: _Draw) -> _Part:
    target = draw.of(("producers", "consumers"))
    acts = [Act(draw.from_s, "kill", target)]
    if draw.percent() < 50:
        acts.append(Act(draw.from_s + draw.between(3, 10), "kill", draw.of(("producers", "consumers"))))
    return _Part(
        f"{target} killed", acts=tuple(acts), durations_s=_TWICE_S if draw.percent() < 30 else _ONCE_S
    )


def _connections(draw: _Draw) -> _Part:
    kind = draw.of(("drop", "silent", "shutdown", "early_close", "slow"))
    return _Part(f"connections: {kind}", ({"kind": kind, "from": 8, "every": draw.between(6, 12)},))


def _events(draw: _Draw) -> _Part:
    kind = draw.of(("duplicate", "reorder", "skip", "malformed", "truncated", "wrong_type", "missing_field"))
    return _Part(f"frames: {kind}", ({"kind": kind, "from": 10, "probability": draw.of((0.01, 0.1))},))


def _late_bars(draw: _Draw) -> _Part:
    kind = draw.of(("missing_kline", "late_kline"))
    return _Part(f"bars: {kind}", ({"kind": kind, "every": draw.between(3, 8), "from": 10},))


def _halt(draw: _Draw) -> _Part:
    halt = {"kind": "halt", "at": draw.from_s, "duration": draw.between(5, 12), "symbols": draw.one_symbol()}
    holes = {"kind": "skip", "streams": ["trade"], "from": draw.from_s - 3, "to": draw.from_s}
    return _Part("a halt, holes before it", (halt, holes))


def _store_removed(draw: _Draw) -> _Part:
    return _Part("the store's file is removed", acts=(Act(draw.from_s, "remove-store"),))


def _restart(draw: _Draw) -> _Part:
    rate = draw.of((0.005, 0.02, 0.1))
    holes = {"kind": "skip", "streams": ["trade", "kline"], "from": 12, "probability": rate}
    return _Part("stopped and started again, with holes", (holes,), durations_s=_TWICE_S)


def _power_cut(draw: _Draw) -> _Part:
    # What the consumers have not read yet exists on the broker alone.
    behind = Act(_POWER_CUT_S - draw.between(1, 6), "freeze", "consumers")
    cut = Act(_POWER_CUT_S, "power-cut")
    return _Part("power cut", acts=(behind, cut), durations_s=_AFTER_POWER_CUT_S, broker="kafka")


FAMILIES: Final[tuple[Callable[[_Draw], _Part], ...]] = (
    _streams_die,
    _ids_anew,
    _refused_at_first,
    _lies,
    _rest_refuses,
    _host_clock,
    _refused_again,
    _kills,
    _new_listing,
    _exchange_clock,
    _streams_die,
    _store_removed,
    _rest_dead_as_well,
    _events,
    _lies,
    _connections,
    _time_refused,
    _restart,
    _late_bars,
    _halt,
    _power_cut,
)
