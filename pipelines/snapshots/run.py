"""One run of the pipeline: extract, check, fill, keep, land; the same with Prefect and without it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from pipelines.snapshots import alerts
from pipelines.snapshots.extract import Failure, SnapshotExchange
from pipelines.snapshots.landing.learned import load_bounds
from pipelines.snapshots.landing.port import LandingMisconfigured, LandingUnavailable
from pipelines.snapshots.landing.spool import ROWS
from pipelines.snapshots.observation import EXCHANGE, Observation
from pipelines.snapshots.places import Places
from pipelines.snapshots.plan import LOOKBACK_MS, NOT_TAKEN, holes_of, is_late, wanted
from pipelines.snapshots.quality.bounds import Bounds, last_prices
from pipelines.snapshots.quality.rules import Usual
from pipelines.snapshots.result import RunResult, is_judged, problems_of
from pipelines.snapshots.rows import HALTED, UNKNOWN_SYMBOL, Origin, SnapshotRow, merge, missing
from pipelines.snapshots.settings import SnapshotSettings
from pipelines.snapshots.slots import day_of
from pipelines.snapshots.steps import PLAIN, Steps, compact
from shared.errors import ExchangeError

_LOG = logging.getLogger(__name__)

# The longest that a run waits for its slot: schedulers start runs up to half a second early.
_EARLIEST_MS: Final = 5_000
StreamCloses = Callable[[Sequence[str], int], Mapping[str, float]]


def no_stream(_symbols: Sequence[str], _slot_ms: int) -> Mapping[str, float]:
    """There is no stream to compare with."""
    return {}


async def run_slot(
    settings: SnapshotSettings,
    exchange: SnapshotExchange,
    places: Places,
    slot_ms: int,
    origin: Origin,
    *,
    steps: Steps = PLAIN,
    stream_closes: StreamCloses = no_stream,
) -> RunResult:
    """Take one slot, and fill what earlier runs have left open.

    Whatever happens to the exchange or the landing place is in the result; only a disk that takes nothing
    (LandingUnavailable) or wrong settings end it.

    Args:
        slot_ms: the scheduled instant.
        stream_closes: closes of the stream's own 1m bars that end at a slot, by symbol.
    """
    begun_s, interval_ms, clock = time.monotonic(), settings.interval_ms, exchange.clock
    # 1. The exchange's time decides what is late; a run that is early waits.
    try:
        await exchange.patiently(exchange.set_clock, slot_ms + interval_ms)
    except ExchangeError as error:
        _LOG.warning("the exchange's clock is not known (%s): this machine's is taken for it", error)
    await asyncio.sleep(max(0, min(_EARLIEST_MS, slot_ms - clock.now_ms())) / 1000)
    # 2. The slot first, since it passes: no place that is away may keep it waiting.
    begun_ms = clock.now_ms()
    late = is_late(slot_ms, begun_ms, interval_ms)
    outcomes = [] if late else await _observe_all(settings, exchange, slot_ms, steps)
    # 3. What earlier runs could not land is there before anything is called a hole, and filled.
    before = await steps.deliver(places)
    seen = await _look(places, slot_ms, before.troubles)
    symbols = settings.snapshot_symbols
    # A slot that was taken for other symbols is none of these.
    handled = seen.handled if seen.own.issuperset(symbols) else seen.handled - {slot_ms}
    holes = holes_of(slot_ms, begun_ms, interval_ms, handled, len(symbols), seen.past)
    wishes = wanted(symbols, holes, seen.unsettled, clock.now_ms() - interval_ms, (slot_ms, seen.own))
    filled = await _fill_all(settings, exchange, wishes, holes, steps)
    # 4. Checks against the last day and the newest earlier prices, those just filled included.
    usual = Usual(
        interval_ms,
        seen.bounds,
        last_prices([row for row in (*seen.newest, *filled) if row.slot_ms < slot_ms]),
        stream_closes(symbols, slot_ms),
    )
    checked = await steps.check(outcomes, slot_ms, origin, clock.now_ms(), usual)
    # 5. On this disk first, then wherever it belongs.
    await steps.keep(places, checked, filled, slot_ms, clock.now_ms())
    delivered = await steps.deliver(places)
    if "landing" not in delivered.troubles:
        await _compact(places, interval_ms, clock.now_ms())
    own = [row for row in (*checked.rows, *filled) if row.slot_ms == slot_ms]
    result = RunResult(
        slot_ms=slot_ms,
        origin=origin,
        late=late,
        rows=merge(own),
        filled=[row for row in filled if row.slot_ms != slot_ms],
        held=checked.held,
        results=checked.results,
        landed=before.landed + delivered.landed,
        waiting=places.spool.waiting(ROWS),
        troubles=delivered.troubles,
        seconds=time.monotonic() - begun_s,
    )
    # 6. Tell whoever is to know.
    await tell(settings, places, result, clock.now_ms())
    return result


async def tell(settings: SnapshotSettings, places: Places, result: RunResult, now_ms: int) -> None:
    """Send what is new among the problems; what could not be sent is new again in the next run."""
    repeat_ms = settings.snapshot_repeat_alert_minutes * 60_000
    known = alerts.load_state(places.state)
    state, messages = alerts.decide(
        known, problems_of(result), now_ms, repeat_ms, lambda key: is_judged(result, key)
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
        alerts.save_state(places.state, state)


class _Seen(NamedTuple):
    """What has landed.

    Attributes:
        handled: slots of the last week that have rows.
        own: symbols with a settled row of the run's own slot.
        unsettled: rows that klines may better, by slot.
        newest: rows of the newest slot before this one.
        bounds: what is usual.
        past: there are rows from before the last week.
    """

    handled: frozenset[int] = frozenset()
    own: frozenset[str] = frozenset()
    unsettled: Mapping[int, Sequence[SnapshotRow]] = {}
    newest: Sequence[SnapshotRow] = ()
    bounds: Mapping[str, Bounds] = {}
    past: bool = False


async def _look(places: Places, slot_ms: int, troubles: Mapping[str, str]) -> _Seen:
    """While the landing place is away nothing is known of it, and nothing is filled."""
    if "landing" in troubles:
        return _Seen()
    try:
        return await asyncio.to_thread(_look_into, places, slot_ms)
    except (LandingUnavailable, LandingMisconfigured) as error:
        # Whoever has to mend it is told when rows cannot land; what was observed goes on to the spool.
        _LOG.warning("%s", error)
        return _Seen()


def _look_into(places: Places, slot_ms: int) -> _Seen:
    first_ms = slot_ms - LOOKBACK_MS
    handled = places.files.handled(first_ms, slot_ms)
    own = [row.symbol for row in places.files.rows(slot_ms) if row.settled] if slot_ms in handled else []
    before = max((slot for slot in handled if slot < slot_ms), default=None)
    newest = places.files.rows(before) if before is not None else []
    learned_day, bounds = load_bounds(places.place)
    past = "" < learned_day < day_of(first_ms).isoformat()
    return _Seen(frozenset(handled), frozenset(own), places.files.unsettled(), newest, bounds, past)


async def _compact(places: Places, interval_ms: int, now_ms: int) -> None:
    try:
        await asyncio.to_thread(compact, places, interval_ms, now_ms)
    except (LandingUnavailable, LandingMisconfigured) as error:
        _LOG.warning("%s; the next run compacts what is closed", error)


async def _observe_all(
    settings: SnapshotSettings, exchange: SnapshotExchange, slot_ms: int, steps: Steps
) -> list[Observation | Failure]:
    """Every symbol's observation or why there is none; one's failure is not another's."""
    symbols = settings.snapshot_symbols
    deadline_ms = slot_ms + settings.interval_ms
    try:
        statuses = await exchange.patiently(lambda: exchange.statuses(symbols), deadline_ms)
    except ExchangeError as error:
        # Without its status a halted symbol would pass for one that trades.
        return [Failure(symbol, f"status is not known: {error}") for symbol in symbols]

    async def outcome(symbol: str) -> Observation | Failure:
        status = statuses.get(symbol)
        if status is None:
            return Failure(symbol, UNKNOWN_SYMBOL)
        if status != "TRADING":
            return Failure(symbol, f"{HALTED} ({status})")
        try:
            return await steps.observe(exchange, symbol, deadline_ms)
        except ExchangeError as error:
            return exchange.failure(symbol, error)

    return list(await asyncio.gather(*(outcome(symbol) for symbol in symbols)))


async def _fill_all(
    settings: SnapshotSettings,
    exchange: SnapshotExchange,
    wishes: Mapping[str, Mapping[int, str]],
    holes: Sequence[int],
    steps: Steps,
) -> list[SnapshotRow]:
    """Rows of passed slots; where klines cannot be had now, holes are missing for the time being."""

    async def filled(symbol: str, reasons: Mapping[int, str]) -> list[SnapshotRow]:
        try:
            return await steps.fill(exchange, symbol, reasons, settings.interval_ms)
        except ExchangeError as error:
            now_ms, why = exchange.clock.now_ms(), f"{NOT_TAKEN}; {error}"
            return [
                missing(EXCHANGE, symbol, slot, why, "backfill", now_ms) for slot in reasons if slot in holes
            ]

    found = await asyncio.gather(*(filled(symbol, reasons) for symbol, reasons in wishes.items()))
    return merge(*found)
