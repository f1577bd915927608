"""The scenarios, declared as data: what is broken, when, and which ledger events must follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from producers.exchanges.port import Pace
from producers.silence_probe import GRACE_S, SILENT_S

UNDISTURBED: Final = "undisturbed"
POWER: Final = "power"
Server = Literal["kafka", "influx"]
# The bars that stored indicators are recomputed from.
Bars = Literal["issued", "stored"]

# World seconds: faults begin once everything works, and end early enough for a recovery.
_FROM_S: Final = 20
_TO_S: Final = 110
WINDOW_S: Final = 150
SPEED: Final = 10.0
# Real seconds: several connections in every run.
_CONNECTION_AGE_S: Final = 6.0
_SHUTDOWN_LEAD_S: Final = 2.0
# Binance announces an end minutes before it: time enough on a busy machine for the next connection.
_LONG_LEAD_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Outage:
    """A server is unavailable for some real seconds: stopped and restarted, frozen, or frozen, killed and
    restarted."""

    server: Server
    how: Literal["stop", "freeze", "freeze-kill"]
    seconds: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way to break a stack.

    Attributes:
        about: in words, for `--list` and the docs.
        faults: of the simulator; the first one is what the scenario is about.
        kill: the process or server that is killed repeatedly.
        speed: world seconds in a real second.
        window_s: least duration in world seconds.
        connection_age_s: real seconds after which the exchange ends a connection, or the producer does.
        shutdown_lead_s: how long before the exchange says so.
        same_market: trades and bars equal those of the undisturbed run.
        indicators_of: bars that the indicators are checked against.
        ledger: (stream, kind) of required events. never: of forbidden events.
        altered_bars: bars may differ where the ledger says `revised`.
        dead_letters: every record that was hit must be among the dead letters.
        rollovers: least number of rollovers.
        least_rate: least messages a second.
        torn: logs lose their ends, so topics may have records twice or late, and indicators may lack them:
            only the store's trades and bars and the ledger's claims are checked.
        services_stay: no service may end, although a server dies.
        for_good: the fault lasts to the end: no recovery and no synced books are required.
        noticed_s: least real seconds between the end of the market and that of the services: records that no
            stream brings must first be noticed.
    """

    name: str
    about: str
    faults: tuple[str, ...] = ()
    kill: str | None = None
    outage: Outage | None = None
    speed: float = SPEED
    window_s: float = WINDOW_S
    connection_age_s: float | None = _CONNECTION_AGE_S
    shutdown_lead_s: float = _SHUTDOWN_LEAD_S
    rollovers: int = 0
    same_market: bool = True
    indicators_of: Bars = "issued"
    ledger: tuple[tuple[str, str], ...] = ()
    never: tuple[tuple[str, str], ...] = ()
    altered_bars: bool = False
    dead_letters: bool = False
    least_rate: float = 500.0
    torn: bool = False
    services_stay: bool = False
    for_good: bool = False
    noticed_s: float = 0.0

    @property
    def server_dies(self) -> bool:
        """Whether services may end too, with a clear error, to be restarted."""
        return (self.kill in ("kafka", "influx", POWER) or self.outage is not None) and not self.services_stay

    def exchange_arguments(self, *, announces: bool = True) -> list[str]:
        """Arguments of the simulator beyond those of the market.

        Args:
            announces: the exchange ends connections of age, and says so before.
        """
        arguments = ["--hold"]
        if announces and self.connection_age_s is not None:
            arguments += ["--connection-age", f"{self.connection_age_s:g}"]
            arguments += ["--announce-shutdown", "--shutdown-lead", f"{self.shutdown_lead_s:g}"]
        return arguments + [part for fault in self.faults for part in ("--fault", fault)]

    def producer_arguments(self, *, announces: bool = True) -> list[str]:
        """Arguments of the producer: it replaces connections by itself where no end is announced."""
        if announces or self.connection_age_s is None:
            return []
        return ["--connection-age", f"{self.connection_age_s - self.shutdown_lead_s:g}"]


def _during(kind: str, **keys: object) -> str:
    """A fault from _FROM_S to _TO_S."""
    pairs = {"from": _FROM_S, "to": _TO_S, **keys}
    return f"{kind}:" + ",".join(f"{key}={value}" for key, value in pairs.items())


# Makes a producer use REST in mid-run: after a cut, holes and order books are fetched.
_CUTS: Final = _during("drop", every=20)
_SKIPS: Final = _during("skip", probability=0.01, streams="trade+kline")


def _event(
    kind: str,
    about: str,
    probability: float,
    *,
    ledger: tuple[tuple[str, str], ...] = (),
    dead_letters: bool = False,
    **keys: object,
) -> Scenario:
    fault = _during(kind, probability=probability, **keys)
    return Scenario(kind.replace("_", "-"), about, (fault,), ledger=ledger, dead_letters=dead_letters)


def _rest(kind: str, about: str, *, every: float = 5, provoked_by: str = _CUTS, **keys: object) -> Scenario:
    return Scenario(kind.replace("_", "-"), about, (_during(kind, every=every, **keys), provoked_by))


_GAPS: Final = (("trades", "gap"), ("klines", "gap"))

CONNECTION_FAULTS: Final = (
    Scenario("drop", "the connection is cut without a word", (_CUTS,), ledger=(("depth", "unsynced"),)),
    Scenario(
        "silent",
        "half-open: the connection stays, nothing comes",
        (_during("silent", every=60, duration=14),),
        connection_age_s=None,
    ),
    Scenario("slow", "a slow link", (_during("slow", every=40, duration=3, bytes_per_s=40000),)),
    Scenario("shutdown", "serverShutdown, then the end", (_during("shutdown", every=30, lead=2),)),
    Scenario("early-close", "a clean end long before the 24 h", (_during("early_close", every=30),)),
)
EVENT_FAULTS: Final = (
    _event("duplicate", "events come twice", 0.05),
    _event("reorder", "events overtake each other", 0.02, distance=2),
    _event("skip", "events never come", 0.02, ledger=_GAPS),
    _event("malformed", "frames that are not JSON", 0.01, dead_letters=True),
    _event("truncated", "frames that are cut", 0.01, dead_letters=True),
    _event("wrong_type", "fields of another JSON type", 0.01, dead_letters=True),
    _event("missing_field", "fields that are not there", 0.01, dead_letters=True),
    _event("unknown_field", "fields that nobody knows", 0.05),
    _event("late_kline", "final bars come late", 0.1, delay=3),
    _event("missing_kline", "final bars never come", 0.1, ledger=(("klines", "gap"),)),
    _event("revised_kline", "a second final bar with other content", 0.1, ledger=(("klines", "revised"),)),
    Scenario(
        "wrong-kline",
        "final bars that are not those of their trades",
        (_during("wrong_kline", probability=0.05),),
        indicators_of="stored",
        ledger=(("klines", "revised"),),
        altered_bars=True,
    ),
)
REST_FAULTS: Final = (
    _rest("rest_429", "REST refuses for a moment", retry_after=1),
    _rest("rest_418", "REST bans for some seconds", every=40, retry_after=3),
    _rest("rest_5xx", "REST answers with server errors"),
    _rest("rest_timeout", "REST does not answer", every=30, duration=3),
    _rest("rest_garbage", "REST answers with what is no answer"),
    _rest("rest_old_snapshot", "order-book snapshots from the past"),
    _rest("rest_cut", "REST answers that break off"),
    _rest("historical_trades_refused", "only the newest trades can be had", provoked_by=_SKIPS),
)
MARKET_FAULTS: Final = (
    Scenario(
        "halt",
        "the exchange closes two symbols for more than a minute: exchangeInfo is seen to say so",
        ("halt:at=40,duration=1400,symbols=ETHUSDC+SOLUSDC",),
        speed=20.0,
        window_s=1_600,
        same_market=False,
        ledger=(("klines", "gap"),),
    ),
    Scenario(
        "halt-unseen",
        "the exchange closes a symbol, then all, between two looks at exchangeInfo",
        ("halt:at=40,duration=20,symbols=ETHUSDC", "halt:at=80,duration=15"),
        same_market=False,
        ledger=(("klines", "gap"),),
    ),
    Scenario("clock-skew", "the exchange's clock is wrong", (_during("clock_skew", offset_ms=1500),)),
)
# Dead streams are detected by some real seconds of silence, and REST requests take time: a slower market
# leaves time for both.
_SOURCE_SPEED: Final = 4.0
_SOURCE_WINDOW_S: Final = 260
# Longest time for a trade that only REST has: silence, next REST check, grace period, next fill, and a second
# for each.
_NOTICED_S: Final = SILENT_S + Pace().probe_s + GRACE_S + Pace().probe_s + 4.0
_ANEW_S: Final = 61


def _source(name: str, about: str, *faults: str, uncarried: tuple[str, ...]) -> Scenario:
    """Streams that fail and stay away: everything must come over REST."""
    return Scenario(
        name,
        about,
        faults,
        speed=_SOURCE_SPEED,
        window_s=_SOURCE_WINDOW_S,
        connection_age_s=None,
        ledger=tuple((stream, "uncarried") for stream in uncarried),
        least_rate=50.0,
        for_good=True,
        noticed_s=_NOTICED_S,
    )


SOURCES: Final = (
    _source(
        "stream-refused",
        "the connections end and none opens again, while REST answers",
        f"stream_refused:from={_FROM_S}",
        f"drop:at={_FROM_S}",
        uncarried=("trades", "klines"),
    ),
    _source(
        "stream-dies",
        "every stream falls silent on connections that stay open",
        f"skip:from={_FROM_S}",
        uncarried=("trades", "klines"),
    ),
    _source(
        "one-stream-dies",
        "one symbol's trades fall silent, everything else goes on",
        f"skip:from={_FROM_S},streams=trade,symbols=ETHUSDC",
        uncarried=("trades",),
    ),
    Scenario(
        "new-listing",
        "a symbol is listed, and the connection is away over the ends of its first bars",
        ("new_listing:at=31,symbols=SOLUSDC", "drop:at=35", "stream_refused:from=35,to=62"),
        speed=_SOURCE_SPEED,
        connection_age_s=None,
        same_market=False,
        least_rate=50.0,
    ),
    Scenario(
        "ids-anew",
        "the ids of two symbols' trades and books begin again at 1, and connections are cut before and after",
        # No cut at that moment: trades issued then and received by nobody are in no list of the exchange any
        # more. The last cut before is filled by then, the first one after it is a second later.
        (
            f"ids_anew:at={_ANEW_S},symbols=ETHUSDC+SOLUSDC",
            f"drop:from={_FROM_S},to={_ANEW_S - 15},every=20",
            f"drop:from={_ANEW_S + 1},to={_TO_S},every=20",
        ),
        speed=_SOURCE_SPEED,
        connection_age_s=None,
        same_market=False,
        ledger=(("depth", "unsynced"),),
        least_rate=50.0,
    ),
)
FAULTS: Final = (*CONNECTION_FAULTS, *EVENT_FAULTS, *REST_FAULTS, *MARKET_FAULTS)
_UNSYNCED: Final = (("depth", "unsynced"),)
# What only some protocols have to go wrong.
PROTOCOL_FAULTS: Final = (
    _event("bad_checksum", "checksums that are not those of the book", 0.02, ledger=_UNSYNCED),
    # Between two jumps the books can be exact again.
    Scenario(
        "counter-jump",
        "the count of a connection's messages jumps, though none is missing",
        (_during("counter_jump", every=20),),
        ledger=_UNSYNCED,
        connection_age_s=None,
    ),
    # A subscription is sent when a connection is opened.
    Scenario(
        "wrong-ack",
        "subscriptions that are acknowledged under another name, and bring nothing",
        (_during("wrong_ack", every=30), _during("drop", every=40)),
        connection_age_s=None,
    ),
)


# All faults at once: longer, and each less often, so that enough of the market is left.
_ALL_TO_S: Final = 300
# The first fault that applies hits a request: each leaves requests to the others.
_OF_REQUESTS: Final = 0.12
# Snapshots and missing trades are requested more rarely: faults of these alone come first.
_OF_RARE_REQUESTS: Final = {"rest_old_snapshot": 0.4, "historical_trades_refused": 0.8}
# On a busy machine there are so few requests that chance may spare a kind: each also fires at a fixed time.
_CERTAIN_FROM_S: Final = 30
_CERTAIN_APART_S: Final = 15


def fault_parts(fault: str) -> tuple[str, dict[str, str]]:
    """Kind and keys of a fault."""
    kind, _, keys = fault.partition(":")
    return kind, dict(pair.split("=") for pair in keys.split(","))


def fault_of(kind: str, pairs: Mapping[str, str]) -> str:
    """A fault as the simulator's command line takes it."""
    return f"{kind}:" + ",".join(f"{key}={value}" for key, value in pairs.items())


def _of_requests(fault: str) -> bool:
    kind, _ = fault_parts(fault)
    return kind.startswith("rest") or kind in _OF_RARE_REQUESTS


def _certain(faults: Iterable[str]) -> tuple[str, ...]:
    """Faults of requests, each once at a fixed time, in turn."""
    found = []
    for place, fault in enumerate(filter(_of_requests, faults)):
        kind, pairs = fault_parts(fault)
        kept = {key: value for key, value in pairs.items() if key not in ("from", "to", "every")}
        found.append(fault_of(kind, {"at": str(_CERTAIN_FROM_S + place * _CERTAIN_APART_S), **kept}))
    return tuple(found)


def _gentler(fault: str) -> str:
    kind, pairs = fault_parts(fault)
    pairs = {**pairs, "to": str(_ALL_TO_S)}
    if _of_requests(fault):
        del pairs["every"]
        pairs["probability"] = f"{_OF_RARE_REQUESTS.get(kind, _OF_REQUESTS):g}"
    elif "probability" in pairs:
        pairs["probability"] = f"{float(pairs['probability']) / 4:g}"
    elif "every" in pairs:
        pairs["every"] = f"{float(pairs['every']) * 2:g}"
    return fault_of(kind, pairs)


def together(scenarios: Iterable[Scenario]) -> Scenario:
    """All faults of these scenarios at once, but those that change the market or a bar's content."""
    faults = tuple(
        scenario.faults[0]
        for scenario in sorted(scenarios, key=lambda one: one.name.replace("-", "_") not in _OF_RARE_REQUESTS)
        # If the first final bar is cut off, its revision would be the only one.
        if scenario.same_market and not scenario.altered_bars and scenario.name != "revised-kline"
    )
    return Scenario(
        "all",
        "every fault at once, but those that change the market or a bar's content",
        (*_certain(faults), *(_gentler(fault) for fault in faults)),
        window_s=_ALL_TO_S + 50,
    )


ALL: Final = together(FAULTS)
KILLS: Final = tuple(
    Scenario(f"kill-{process}", about, kill=process)
    for process, about in (
        ("producer", "kill -9 of the producer"),
        ("klines", "kill -9 of the consumer of bars"),
        ("trades", "kill -9 of the consumer of trades"),
        ("book", "kill -9 of the consumer of books and quotes"),
        ("ledger", "kill -9 of the consumer of the ledger"),
        ("kafka", "kill -9 of the broker, which starts again on the same data"),
        ("influx", "kill -9 of InfluxDB, which starts again on the same data"),
    )
)
POWER_CUT: Final = Scenario(
    "power-cut",
    "the broker's machine loses its power, and each log its end",
    kill=POWER,
    speed=3.0,
    connection_age_s=None,
    same_market=False,
    least_rate=50.0,
    torn=True,
)
# The window of the undisturbed run suffices: an outage lasts longer anyway.
OUTAGES: Final = (
    *(
        Scenario(name, about, outage=outage, speed=30.0, least_rate=2_000)
        for name, about, outage in (
            ("broker-stopped", "Kafka is away for 60 s", Outage("kafka", "stop", 60)),
            ("store-stopped", "InfluxDB is away for 120 s", Outage("influx", "stop", 120)),
            (
                "store-frozen",
                "InfluxDB accepts and never answers for 120 s",
                Outage("influx", "freeze", 120),
            ),
        )
    ),
    Scenario(
        "broker-frozen",
        "Kafka answers nothing for 20 s, then is killed and started again: the group's members stay",
        outage=Outage("kafka", "freeze-kill", 20),
        services_stay=True,
    ),
)
ROLLOVER: Final = Scenario(
    "rollover",
    "ten announced ends of the connection",
    speed=16.0,
    window_s=800,
    connection_age_s=_LONG_LEAD_S + 2.0,
    shutdown_lead_s=_LONG_LEAD_S,
    rollovers=10,
    never=(("trades", "gap"), ("trades", "duplicate"), ("klines", "gap")),
    least_rate=1_000,
)
SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (*FAULTS, *PROTOCOL_FAULTS, *SOURCES, ALL, *KILLS, POWER_CUT, *OUTAGES, ROLLOVER)
}
