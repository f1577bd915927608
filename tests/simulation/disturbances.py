"""Everything that can happen to a simulated deployment, each as one plain value. Pure.

Times are virtual seconds since the exchange began; processes are named as in `deployment.PROCESSES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal


@dataclass(frozen=True, slots=True)
class ExchangeFault:
    """A fault of the exchange, as `--fault` takes it.

    Attributes:
        index: its place in the script, part of its draws: it strikes alike without the others.
    """

    flag: str
    index: int


@dataclass(frozen=True, slots=True)
class Kill:
    """kill -9 of a process after its `step`-th step from `at_s` on; it is started again after `away_s`.

    Attributes:
        dies_s: so long after that step, but before the next one.
    """

    process: str
    at_s: float
    step: int
    away_s: float
    dies_s: float


@dataclass(frozen=True, slots=True)
class Stop:
    """SIGTERM at `at_s`, and a start `away_s` after the end."""

    process: str
    at_s: float
    away_s: float


@dataclass(frozen=True, slots=True)
class Away:
    """A server answers nobody from `at_s` on for some seconds."""

    server: Literal["broker", "store"]
    at_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class PowerCut:
    """The broker's machine loses its power: each log loses a drawn part of its end."""

    at_s: float
    away_s: float


@dataclass(frozen=True, slots=True)
class Member:
    """A second member of a stream's group, from `at_s` to `until_s`."""

    stream: str
    at_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class ClockStep:
    """The clock of a process's host is wrong by some seconds between two times."""

    process: str
    at_s: float
    until_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Rollovers:
    """The exchange ends connections of age, and says so before."""

    age_s: float
    lead_s: float


@dataclass(frozen=True, slots=True)
class SlowNetwork:
    """Bytes take up to so many seconds each way."""

    latency_s: float


Disturbance = ExchangeFault | Kill | Stop | Away | PowerCut | Member | ClockStep | Rollovers | SlowNetwork
_KINDS: Final[Mapping[str, type[Disturbance]]] = {
    "exchange-fault": ExchangeFault,
    "kill": Kill,
    "stop": Stop,
    "away": Away,
    "power-cut": PowerCut,
    "member": Member,
    "clock-step": ClockStep,
    "rollovers": Rollovers,
    "slow-network": SlowNetwork,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


def kind_of(disturbance: Disturbance) -> str:
    """Its kind as in JSON; of the exchange's faults that of the fault."""
    if isinstance(disturbance, ExchangeFault):
        return disturbance.flag.partition(":")[0]
    return _NAMES[type(disturbance)]


def to_json(disturbance: Disturbance) -> dict[str, Any]:
    """As a JSON object."""
    return {"what": _NAMES[type(disturbance)], **asdict(disturbance)}


def from_json(entry: Mapping[str, Any]) -> Disturbance:
    """The inverse of `to_json`."""
    fields = dict(entry)
    return _KINDS[fields.pop("what")](**fields)


def described(disturbance: Disturbance) -> str:
    """In one line, for people."""
    if isinstance(disturbance, ExchangeFault):
        return disturbance.flag
    pairs = ", ".join(f"{name}={value}" for name, value in asdict(disturbance).items())
    return f"{_NAMES[type(disturbance)]}: {pairs}"
