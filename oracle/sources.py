"""Each data source cut in turn, on both brokers and both stores: plans by name, not by seed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from oracle.plan import JUMPS_S, Act, Broker, Fault, Plan, Store

SYMBOLS: Final = ("BTCUSDC", "ETHUSDC", "XRPUSDC", "SOLUSDC")
_INTERVALS: Final = ("1s", "1m")
BROKERS: Final[tuple[Broker, ...]] = ("memory", "kafka")
STORES: Final[tuple[Store, ...]] = ("sqlite", "influxdb")
DURATION_S: Final = 80.0
CUT_S: Final = 20.0
_REFUSED: Final = "stream_refused"


@dataclass(frozen=True, slots=True)
class Cut:
    """One source that is cut.

    Attributes:
        incomplete: something is missing or unknown at the end, so that exit code 0 is wrong.
        names: words of which the command's last lines must hold one.
    """

    name: str
    faults: tuple[Fault, ...] = ()
    acts: tuple[Act, ...] = ()
    incomplete: bool = True
    names: tuple[str, ...] = ()

    def plan(self, broker: Broker, store: Store, duration_s: float = DURATION_S) -> Plan:
        """The run in which the source is cut up to the end."""
        return Plan(
            seed=1,
            title=self.name,
            symbols=SYMBOLS,
            intervals=_INTERVALS,
            broker=broker,
            store=store,
            durations_s=(duration_s,),
            faults=self.faults,
            acts=self.acts,
        )


def _dying(**what: list[str]) -> Mapping[str, object]:
    return {"kind": "skip", "from": CUT_S, **what}


def _skew(kind: str, seconds: float) -> Cut:
    fault = {"kind": kind, "from": CUT_S, "offset_ms": round(seconds * 1000)}
    return Cut(f"exchange clock {seconds / 3600:+g} h ({kind})", (fault,), incomplete=False)


def cuts(broker: Broker, store: Store) -> Iterator[Cut]:
    """All sources of a run with this broker and this store."""
    refused, dead = {"kind": _REFUSED, "from": 0}, {"kind": "rest_dead", "from": CUT_S}
    yield Cut("stream never opens", (refused,), names=SYMBOLS)
    yield Cut("streams die", (_dying(),), names=SYMBOLS)
    yield Cut("one symbol dies", (_dying(symbols=["XRPUSDC"]),), names=("XRPUSDC",))
    for stream in ("trade", "kline", "depth"):
        name = {"trade": "trades", "kline": "klines", "depth": "depth"}[stream]
        yield Cut(f"{name} die", (_dying(streams=[stream]),), names=(name,))
    yield Cut("streams die, REST dead as well", (_dying(), dead), names=SYMBOLS)
    yield Cut("producer", acts=(Act(CUT_S, "freeze", "producers"),), names=("producers",))
    yield Cut(
        "consumers, the ledger's among them", acts=(Act(CUT_S, "freeze", "consumers"),), names=("consumers",)
    )
    if store == "sqlite":
        yield Cut("store", acts=(Act(CUT_S, "remove-store"),))
    else:
        yield Cut("store", acts=(Act(CUT_S, "freeze-store"),))
    if broker == "kafka":
        yield Cut("broker", acts=(Act(CUT_S, "freeze", "kafka.Kafka"),))
    for seconds in JUMPS_S:
        host = Act(CUT_S, "clock", seconds=seconds, until_s=float("inf"))
        yield Cut(f"host clock {seconds / 3600:+g} h", acts=(host,), incomplete=False)
        yield _skew("clock_skew", seconds)
        yield _skew("time_jump", seconds)
