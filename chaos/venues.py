"""The exchanges that scenarios are run on: their markets and pace, and what cannot go wrong there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from chaos.market import Market
from chaos.scenarios import (
    ALL,
    FAULTS,
    PROTOCOL_FAULTS,
    SCENARIOS,
    SPEED,
    WINDOW_S,
    Scenario,
    fault_of,
    fault_parts,
    together,
)
from producers.bar_builder import GRACE_MS
from producers.exchanges.registry import EXCHANGES
from shared.errors import UsageError
from simulator.faults.kinds import kinds_on
from simulator.protocols.registry import EXCHANGES as SPOKEN

_BINANCE: Final = "binance"
# Why a kind of fault cannot happen on the exchanges that it is not declared for (`simulator.faults.kinds`).
_NO_BARS: Final = "its streams have no bars"
_WHY_NOT: Final[Mapping[str, str]] = {
    "late_kline": _NO_BARS,
    "missing_kline": _NO_BARS,
    "revised_kline": _NO_BARS,
    "wrong_kline": _NO_BARS,
    "rest_418": "its REST bans nobody",
    "rest_old_snapshot": "its books come whole on the stream",
    "historical_trades_refused": "one endpoint has the whole history",
    "bad_checksum": "its messages have no checksum",
    "counter_jump": "its messages are not counted",
    "wrong_ack": "streams are named in the address, which nothing acknowledges",
}


@dataclass(frozen=True, slots=True)
class Venue:
    """An exchange as scenarios run on it.

    Attributes:
        intervals: of its bars.
        rate: multiplies the trades.
        speed: of its market, whatever the scenario's; None: as the scenario has it.
        least_rate: messages a second that a scenario has to have; None: as the scenario has it.
        announces: it ends connections of age, and says so before; otherwise the producer replaces them.
        told: further arguments of the simulator.
        recovery_s: real seconds within which the stack has to be complete again.
    """

    exchange: str
    intervals: tuple[str, ...] = ("1s", "1m", "15m")
    rate: float = 3.0
    speed: float | None = None
    least_rate: float | None = None
    announces: bool = True
    told: tuple[str, ...] = ()
    # The broker waits ten seconds for consumers that left their group without notice.
    recovery_s: float = 90.0

    @property
    def built_bars(self) -> bool:
        return EXCHANGES[self.exchange].promises.bars.source == "trades"

    @property
    def streamed_books(self) -> bool:
        return EXCHANGES[self.exchange].promises.book.integrity != "ids"

    def market(self, start_ms: int, seed: int) -> Market:
        """Its market of a seed."""
        usual = Market(start_ms)
        return Market(
            start_ms,
            symbols=SPOKEN[self.exchange].symbols or usual.symbols,
            intervals=self.intervals,
            seed=seed,
            rate=self.rate,
            exchange=self.exchange,
            told=self.told,
            waits_ms=_WAITS_MS if self.built_bars else 0,
        )


# A restart reads the trades of the longest bar again: 5,400 of all symbols in five minutes.
_INTERVALS: Final = ("1s", "1m", "5m")
# A bar without a later trade waits for its end to have passed by the exchange's clock, which stops with the
# market. Of the time until then the streams' heartbeats tell once a second, the producer looks at them once a
# second, and at its bars once a second.
_WAITS_MS: Final = GRACE_MS + 3_000
# The streams carry no bars, and the log has none of its own accord.
_LOGGED: Final = ("--log-intervals", ",".join(_INTERVALS))
VENUES: Final[Mapping[str, Venue]] = {
    _BINANCE: Venue(_BINANCE),
    # Half a request a second is all that a producer takes, of real seconds: in a faster market there would be
    # none for the exchange's clock, without which later events cannot be told from false ones.
    "kraken": Venue(
        "kraken",
        intervals=_INTERVALS,
        rate=2.0,
        speed=1.0,
        least_rate=30.0,
        announces=False,
        told=_LOGGED,
        recovery_s=180.0,
    ),
    # Books of 4 MB would make the runs about their snapshots.
    "coinbase": Venue(
        "coinbase",
        intervals=_INTERVALS,
        rate=2.0,
        speed=1.0,
        least_rate=30.0,
        announces=False,
        told=(*_LOGGED, "--far-levels", "1000"),
        recovery_s=120.0,
    ),
}


def left_out(scenario: Scenario, venue: Venue) -> str | None:
    """Why an exchange cannot have a scenario; None if it can."""
    if not scenario.faults or scenario.name == ALL.name:
        return None
    kind, _ = fault_parts(scenario.faults[0])
    if kind in kinds_on(venue.exchange):
        return None
    return _WHY_NOT[kind]


def fitted(scenario: Scenario, venue: Venue) -> Scenario:
    """A scenario as it is run on an exchange: with its symbols, its streams, at its pace."""
    if scenario.name == ALL.name and venue.exchange != _BINANCE:
        all_of_it = [each for each in (*FAULTS, *PROTOCOL_FAULTS) if left_out(each, venue) is None]
        scenario = together(all_of_it)
    required = scenario.ledger
    if venue.built_bars:
        # No stream brings bars that could be missing there.
        required = tuple(entry for entry in required if entry[0] != "klines")
    # A scenario that is faster than the others lasts long in the market's time for the sake of real seconds.
    shorter = 1.0
    if venue.speed is not None and scenario.speed > SPEED:
        shorter = venue.speed / scenario.speed
    return replace(
        scenario,
        faults=tuple(_in_its_words(fault, venue, shorter) for fault in scenario.faults),
        speed=venue.speed or scenario.speed,
        window_s=max(WINDOW_S, scenario.window_s * shorter) if shorter < 1.0 else scenario.window_s,
        least_rate=scenario.least_rate if venue.least_rate is None else venue.least_rate,
        ledger=required,
    )


def _in_its_words(fault: str, venue: Venue, shorter: float) -> str:
    kind, pairs = fault_parts(fault)
    if "duration" in pairs and shorter < 1.0:
        pairs["duration"] = f"{float(pairs['duration']) * shorter:g}"
    if "symbols" in pairs:
        usual = Market(0).symbols
        own = SPOKEN[venue.exchange].symbols or usual
        pairs["symbols"] = "+".join(own[usual.index(symbol)] for symbol in pairs["symbols"].split("+"))
    if "streams" in pairs:
        there = SPOKEN[venue.exchange].dialect.scope.streams
        pairs["streams"] = "+".join(each for each in pairs["streams"].split("+") if each in there)
    return fault_of(kind, pairs)


def chosen(names: Iterable[str], venue: Venue) -> tuple[Scenario, ...]:
    """The scenarios of these names, as they are run on an exchange; without a name all that it can have.

    Raises:
        UsageError: a name is unknown, or the exchange cannot have it.
    """
    names = tuple(names)
    for name in names:
        if name not in SCENARIOS:
            raise UsageError(f"scenario {name!r} is not known; choose from {', '.join(SCENARIOS)}, soak")
        reason = left_out(SCENARIOS[name], venue)
        if reason is not None:
            title = EXCHANGES[venue.exchange].title
            raise UsageError(f"scenario {name!r} cannot happen on {title}: {reason}; leave it out")
    wanted = names or tuple(name for name, each in SCENARIOS.items() if left_out(each, venue) is None)
    return tuple(fitted(SCENARIOS[name], venue) for name in wanted)
