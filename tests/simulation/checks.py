"""All checks of a simulated run: the chaos harness', the oracle's, and the services' ends. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from chaos.ledger_oracle import Claims
from chaos.market import Market
from chaos.run_checks import Found, differences_of, unsaid_holes
from chaos.scenarios import Scenario
from chaos.venues import VENUES
from oracle import checks as oracle
from oracle.exchange_log import exchange_log_of
from oracle.stores import Stored, stored_of
from tests.simulation.disturbances import (
    Away,
    ClockStep,
    Disturbance,
    ExchangeFault,
    Kill,
    Member,
    PowerCut,
    Rollovers,
    Stop,
    kind_of,
)
from tests.simulation.schedule import PRODUCER, Schedule

# Of a deployment whose connections all bring everything.
_NEVER: Final = (("trades", "gap"), ("trades", "duplicate"), ("klines", "gap"))
_ANY: Final = 2**63 - 1
_HARMLESS_FAULTS: Final = frozenset(("unknown_field",))
# Faults by which a closed bar is not what its trades say, or comes again as another one.
_ALTERING_FAULTS: Final = frozenset(("wrong_kline", "revised_kline"))


class Failure(NamedTuple):
    """A failed check.

    Attributes:
        check: what is wrong, in few words: two runs with the same one fail in the same way.
        text: the details.
    """

    check: str
    text: str

    def __str__(self) -> str:
        return f"{self.check}: {self.text}"


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What a run left behind.

    Attributes:
        found: the window is from the market's start to its end.
        entries: of the exchange's log.
        rows: of `trade`, `kline` and `ledger` in the store, by measurement.
        pending: why the run was not complete when its time was over; None if it was.
        exits: ends of services that nobody asked for, one line each.
        errors: what services logged as errors, and exceptions that nobody handled.
        bad_events: events of the ledger that break the contract.
        stopped_ms: the market's last instant.
    """

    found: Found
    entries: Sequence[Mapping[str, Any]]
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    pending: str | None = None
    exits: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    bad_events: int = 0
    stopped_ms: int = _ANY
    dead_letters: Counter[str] = field(default_factory=Counter)


def market_of(schedule: Schedule, intervals: Sequence[str]) -> Market:
    """The market as the chaos harness names it."""
    return Market(
        schedule.start_ms,
        symbols=schedule.symbols,
        intervals=tuple(intervals),
        seed=schedule.market_seed,
        rate=schedule.rate,
        warmup_bars=schedule.warmup_bars,
    )


def scenario_of(schedule: Schedule) -> Scenario:
    """What the chaos harness may expect of a run of these disturbances."""
    altered = "wrong_kline" in schedule.fault_kinds
    return Scenario(
        f"seed {schedule.seed}",
        "simulated",
        faults=tuple(each.flag for each in schedule.of(ExchangeFault)),
        indicators_of="stored" if altered else "issued",
        altered_bars=altered,
        torn=bool(schedule.of(PowerCut)),
    )


def failures_of(schedule: Schedule, market: Market, after: Aftermath) -> tuple[Failure, ...]:
    """Every failed check; empty if all promises were kept."""
    return (
        *(Failure("exit", line) for line in after.exits),
        *(Failure("error", line) for line in after.errors),
        *((Failure("pending", after.pending),) if after.pending else ()),
        *_of_the_ledger(after, torn=scenario_of(schedule).torn),
        *(_needless(after) if all(map(_harmless, schedule.disturbances)) else ()),
        *(() if schedule.fault_kinds & _ALTERING_FAULTS else _unfounded(after)),
        *_of_chaos(schedule, market, after),
        *_of_the_oracle(schedule, market, after),
    )


def _of_the_ledger(after: Aftermath, *, torn: bool) -> Iterator[Failure]:
    claims = after.found.claims
    if after.bad_events:
        yield Failure("bad ledger event", f"{after.bad_events} events break their contract")
    for series in claims.series():
        lost = claims.ids(series, "lost")
        if lost:
            # Everything ends before the market does, and the exchange forgets nothing.
            first, last = next(iter(lost))
            text = f"{' '.join(series)} {first * series.unit}–{last * series.unit} of {lost.id_count()}"
            yield Failure("lost", text)
    # Where a broker lost events, rows may know more than the topic, or not in which minute a trade was.
    if not torn:
        yield from _of_rows(claims, after.rows.get("ledger", ()))


def _harmless(disturbance: Disturbance) -> bool:
    """Whether the producer receives every event of the exchange nevertheless, and each once."""
    match disturbance:
        case ExchangeFault():
            return kind_of(disturbance) in _HARMLESS_FAULTS
        case Kill(process=process) | Stop(process=process):
            return process != PRODUCER
        case Away(server=server):
            return server == "store"
        case _:
            return isinstance(disturbance, Member | ClockStep | Rollovers)


def _needless(after: Aftermath) -> Iterator[Failure]:
    """Holes and repeated trades where every connection brings everything."""
    claims = after.found.claims
    for series in claims.series():
        for stream, kind in _NEVER:
            if series.stream != stream:
                continue
            # A bar that is open when the market stops closes by the clock, and no message says so.
            end = _ANY if series.interval == "" else after.stopped_ms // series.unit - 1
            count = sum(last - first + 1 for first, last in claims.ids(series, kind).within(0, end))
            if count:
                yield Failure(f"needless {kind}", f"{' '.join(series)}: the ledger has {kind} of {count}")


def _unfounded(after: Aftermath) -> Iterator[Failure]:
    """Bars that the ledger calls revised, though the exchange sent each as its trades have it, and once."""
    number = after.found.claims.events["klines", "revised"]
    if number:
        yield Failure("unfounded revised", f"the ledger has {number} revised of klines")


def _of_rows(claims: Claims, rows: Sequence[Mapping[str, Any]]) -> Iterator[Failure]:
    """The rows of `ledger` against the sets that the topic claims: applying a range twice changes nothing."""
    sums: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        series = tuple(str(row.get(tag) or "") for tag in ("exchange", "symbol", "stream", "interval"))
        sums[series] += int(row.get("stored") or 0)
    for each in claims.series():
        key = (each.exchange, each.symbol, each.stream, each.interval or "")
        stored = claims.ids(each, "stored").id_count()
        if sums[key] != stored:
            text = f"{' '.join(key)}: {sums[key]:,} stored by its rows, {stored:,} by its events"
            yield Failure("ledger rows", text)


def _of_chaos(schedule: Schedule, market: Market, after: Aftermath) -> Iterator[Failure]:
    scenario, venue = scenario_of(schedule), VENUES[market.exchange]
    differences = differences_of(after.found, scenario, market, venue)
    for (what, kind), line in zip(differences.counts, differences.lines(), strict=True):
        yield Failure(f"{what} {kind}", line)
    if not scenario.torn:
        for line in unsaid_holes(after.found.claims, after.found.topics):
            yield Failure("unsaid hole", line)


def _of_the_oracle(schedule: Schedule, market: Market, after: Aftermath) -> Iterator[Failure]:
    """The oracle's view: a run that calls itself complete, and what is in its store."""
    window = after.found.export.window
    complete = after.pending is None and not any(_missing(after.found.claims))
    case = oracle.Case(
        issued=exchange_log_of(after.entries),
        stored=_stored(after.rows),
        ended=oracle.Ended(0 if complete else 1, ("" if complete else "ids are missing",)),
        span=oracle.Span(window.begin_ms, window.end_ms),
        symbols=market.symbols,
        intervals=market.intervals,
    )
    # Bars that the exchange itself altered differ, and are checked above with what the ledger says of them.
    altered = scenario_of(schedule).altered_bars
    for violation in oracle.violations_of(case):
        if not (altered and violation.kind == "different" and violation.what.endswith("bars")):
            yield Failure(f"oracle {violation.kind}", str(violation))


def _missing(claims: Claims) -> Iterator[int]:
    for series in claims.series():
        yield claims.missing(series).id_count()


def _stored(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> Stored:
    return stored_of(rows.get("trade", ()), rows.get("kline", ()), rows.get("ledger", ()))
