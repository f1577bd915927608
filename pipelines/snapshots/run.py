"""One run of the pipeline: extract, check, fill, keep, land; the same with Prefect and without it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from pipelines.snapshots import alerts
from pipelines.snapshots.destinations import Destinations
from pipelines.snapshots.extract import Failure, SnapshotExchange
from pipelines.snapshots.landing.learned import load_bounds
from pipelines.snapshots.landing.port import LandingMisconfigured, LandingUnavailable
from pipelines.snapshots.landing.spool import ROWS
from pipelines.snapshots.observation import EXCHANGE, Observation
from pipelines.snapshots.plan import LOOKBACK_MS, NOT_TAKEN, holes_of, is_late, slots_to_fill
from pipelines.snapshots.quality.bounds import Bounds, last_prices
from pipelines.snapshots.quality.rules import Baseline
from pipelines.snapshots.result import RunResult, covers, problems_of
from pipelines.snapshots.rows import HALTED, UNKNOWN_SYMBOL, Origin, SnapshotRow, merge, missing
from pipelines.snapshots.settings import SnapshotSettings
from pipelines.snapshots.slots import day_of
from pipelines.snapshots.steps import PLAIN, Steps, compact
from producers.exchanges.rest_port import TRADING
from shared.errors import ExchangeError

_LOG = logging.getLogger(__name__)

# Longest wait of a run for its slot: schedulers start runs up to half a second early.
_EARLIEST_MS: Final = 5_000
StreamCloses = Callable[[Sequence[str], int], Mapping[str, float]]


def no_stream(_symbols: Sequence[str], _slot_ms: int) -> Mapping[str, float]:
    """The closes of no stream."""
    return {}


async def run_slot(
    settings: SnapshotSettings,
    exchange: SnapshotExchange,
    destinations: Destinations,
    slot_ms: int,
    origin: Origin,
    *,
    steps: Steps = PLAIN,
    stream_closes: StreamCloses = no_stream,
) -> RunResult:
    """Take one slot, and fill what earlier runs have left open.

    Failures of the exchange and of destinations are part of the result; only an unwritable local disk
    (LandingUnavailable) or wrong settings raise.

    Args:
        slot_ms: the scheduled instant.
        stream_closes: closes of the stream's own 1m bars that end at a slot, by symbol.
    """
    begun_s, interval_ms, clock = time.monotonic(), settings.interval_ms, exchange.clock
    # 1. Set the clock by the exchange's time, which decides what is late; an early run waits.
    try:
        await exchange.patiently(exchange.set_clock, slot_ms + interval_ms)
    except ExchangeError as error:
        _LOG.warning("the exchange's clock is unknown (%s): using this machine's", error)
    await asyncio.sleep(max(0, min(_EARLIEST_MS, slot_ms - clock.now_ms())) / 1000)
    # 2. Observe the slot before anything else: an unavailable destination must not delay it.
    begun_ms = clock.now_ms()
    late = is_late(slot_ms, begun_ms, interval_ms)
    outcomes = [] if late else await _observe_all(settings, exchange, slot_ms, steps)
    # 3. Land what earlier runs could not, then find and fill holes.
    before = await steps.deliver(destinations)
    landed = await _landed(destinations, slot_ms, before.failures)
    symbols = settings.symbols
    # A slot with rows of other symbols only is not handled.
    handled = landed.handled if landed.own.issuperset(symbols) else landed.handled - {slot_ms}
    holes = holes_of(slot_ms, begun_ms, interval_ms, handled, len(symbols), landed.past)
    to_fill = slots_to_fill(
        symbols, holes, landed.unsettled, clock.now_ms() - interval_ms, (slot_ms, landed.own)
    )
    filled = await _fill_all(settings, exchange, to_fill, holes, steps)
    # 4. Check against the last day and the newest earlier prices, just filled ones included.
    baseline = Baseline(
        interval_ms,
        landed.bounds,
        last_prices([row for row in (*landed.newest, *filled) if row.slot_ms < slot_ms]),
        stream_closes(symbols, slot_ms),
    )
    checked = await steps.check(outcomes, slot_ms, origin, clock.now_ms(), baseline)
    # 5. Write to the spool, then to the destinations.
    await steps.keep(destinations, checked, filled, slot_ms, clock.now_ms())
    delivered = await steps.deliver(destinations)
    if "landing" not in delivered.failures:
        await _compact(destinations, interval_ms, clock.now_ms())
    own = [row for row in (*checked.rows, *filled) if row.slot_ms == slot_ms]
    result = RunResult(
        slot_ms=slot_ms,
        origin=origin,
        late=late,
        rows=merge(own),
        filled=[row for row in filled if row.slot_ms != slot_ms],
        quarantined=checked.quarantined,
        results=checked.results,
        landed=before.landed + delivered.landed,
        waiting=destinations.spool.waiting(ROWS),
        failures=delivered.failures,
        seconds=time.monotonic() - begun_s,
    )
    # 6. Send alerts.
    await tell(settings, destinations, result, clock.now_ms())
    return result


async def tell(
    settings: SnapshotSettings, destinations: Destinations, result: RunResult, now_ms: int
) -> None:
    """Send alerts of new problems; unsent ones are new again in the next run."""
    repeat_ms = settings.snapshot_repeat_alert_minutes * 60_000
    known = alerts.load_state(destinations.state)
    state, messages = alerts.decide(
        known, problems_of(result), now_ms, repeat_ms, lambda key: covers(result, key)
    )
    for message in messages:
        _LOG.warning("%s: %s", message.kind, message.text)
    url = settings.snapshot_webhook_url.get_secret_value()
    if messages and url:
        try:
            await alerts.send(url, messages)
        except alerts.AlertNotSent as error:
            _LOG.warning("%s", error)
            return
    if messages:
        alerts.save_state(destinations.state, state)


class _Landed(NamedTuple):
    """What is known of landed rows.

    Attributes:
        handled: slots of the last week that have rows.
        own: symbols with a settled row of the run's own slot.
        unsettled: rows that klines may improve, by slot.
        newest: rows of the newest slot before this one.
        bounds: of the rules, by symbol.
        past: whether there are rows from before the last week.
    """

    handled: frozenset[int] = frozenset()
    own: frozenset[str] = frozenset()
    unsettled: Mapping[int, Sequence[SnapshotRow]] = {}
    newest: Sequence[SnapshotRow] = ()
    bounds: Mapping[str, Bounds] = {}
    past: bool = False


async def _landed(destinations: Destinations, slot_ms: int, failures: Mapping[str, str]) -> _Landed:
    """Empty while the landing is unavailable: then nothing is filled."""
    if "landing" in failures:
        return _Landed()
    try:
        return await asyncio.to_thread(_read_landed, destinations, slot_ms)
    except (LandingUnavailable, LandingMisconfigured) as error:
        # The alert follows when rows cannot land; observations still go to the spool.
        _LOG.warning("%s", error)
        return _Landed()


def _read_landed(destinations: Destinations, slot_ms: int) -> _Landed:
    first_ms = slot_ms - LOOKBACK_MS
    handled = destinations.files.handled(first_ms, slot_ms)
    own = (
        [row.symbol for row in destinations.files.rows(slot_ms) if row.settled] if slot_ms in handled else []
    )
    before = max((slot for slot in handled if slot < slot_ms), default=None)
    newest = destinations.files.rows(before) if before is not None else []
    learned_day, bounds = load_bounds(destinations.landing)
    past = "" < learned_day < day_of(first_ms).isoformat()
    return _Landed(frozenset(handled), frozenset(own), destinations.files.unsettled(), newest, bounds, past)


async def _compact(destinations: Destinations, interval_ms: int, now_ms: int) -> None:
    try:
        await asyncio.to_thread(compact, destinations, interval_ms, now_ms)
    except (LandingUnavailable, LandingMisconfigured) as error:
        _LOG.warning("%s; the next run compacts closed days", error)


async def _observe_all(
    settings: SnapshotSettings, exchange: SnapshotExchange, slot_ms: int, steps: Steps
) -> list[Observation | Failure]:
    """An observation or a failure for every symbol, independently of each other."""
    symbols = settings.symbols
    deadline_ms = slot_ms + settings.interval_ms
    try:
        statuses = await exchange.patiently(lambda: exchange.statuses(symbols), deadline_ms)
    except ExchangeError as error:
        # Without its status a halted symbol would be taken for a trading one.
        return [Failure(symbol, f"status is not known: {error}") for symbol in symbols]

    async def outcome(symbol: str) -> Observation | Failure:
        status = statuses.get(symbol)
        if status is None:
            return Failure(symbol, UNKNOWN_SYMBOL)
        if status != TRADING:
            return Failure(symbol, f"{HALTED} ({status})")
        try:
            return await steps.observe(exchange, symbol, deadline_ms)
        except ExchangeError as error:
            return exchange.failure(symbol, error)

    return list(await asyncio.gather(*(outcome(symbol) for symbol in symbols)))


async def _fill_all(
    settings: SnapshotSettings,
    exchange: SnapshotExchange,
    to_fill: Mapping[str, Mapping[int, str]],
    holes: Sequence[int],
    steps: Steps,
) -> list[SnapshotRow]:
    """Rows of passed slots; holes stay missing for now where klines are unavailable."""

    async def filled(symbol: str, reasons: Mapping[int, str]) -> list[SnapshotRow]:
        try:
            return await steps.fill(exchange, symbol, reasons, settings.interval_ms)
        except ExchangeError as error:
            now_ms, why = exchange.clock.now_ms(), f"{NOT_TAKEN}; {error}"
            return [
                missing(EXCHANGE, symbol, slot, why, "backfill", now_ms) for slot in reasons if slot in holes
            ]

    found = await asyncio.gather(*(filled(symbol, reasons) for symbol, reasons in to_fill.items()))
    return merge(*found)
