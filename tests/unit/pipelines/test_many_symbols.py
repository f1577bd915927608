"""Five hundred symbols in one slot: inside the weight budget, in time and in bounded memory."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest

from tests.extras import require_snapshot_extras

require_snapshot_extras()

from pipelines.snapshots.destinations import open_destinations
from pipelines.snapshots.landing.spool import ROWS, Spool
from pipelines.snapshots.plan import MOST_ROWS, holes_of
from pipelines.snapshots.result import RunResult
from pipelines.snapshots.rows import SnapshotRow
from pipelines.snapshots.run import run_slot
from pipelines.snapshots.settings import load_snapshot_settings
from tests.plain_exchange import BAR, PlainExchange, VirtualHost
from tests.snapshot_builders import SLOT, row
from tests.virtual_time import run_virtually

SYMBOLS = [f"S{number:03d}USDT" for number in range(500)]


def host_of(symbols: list[str], latency_s: float = 0.1) -> VirtualHost:
    """An exchange of these symbols, every answer so long on its way."""
    return VirtualHost(PlainExchange(symbols, SLOT, SLOT + BAR), SLOT, latency_s=latency_s)


def take(symbols: list[str], host: VirtualHost, directory: Path) -> RunResult:
    """The whole run of a slot."""
    settings = load_snapshot_settings(snapshot_symbols=",".join(symbols), snapshot_dir=directory)

    async def run() -> RunResult:
        with open_destinations(settings) as destinations:
            return await run_slot(settings, host.client(settings.share), destinations, SLOT, "scheduled")

    return run_virtually(run())


@pytest.mark.thorough
@pytest.mark.parametrize(("count", "most_s"), [(3, 5), (500, 200)])
def test_a_slot_stays_inside_the_weight_budget_and_ends_well_before_the_next(
    tmp_path: Path, count: int, most_s: int
) -> None:
    host = host_of(SYMBOLS[:count])
    result = take(SYMBOLS[:count], host, tmp_path)
    assert result.complete and len(result.rows) == count
    assert not {429, 418} & set(host.log)
    assert max(host.weight_by_minute.values()) <= 6_000 * 0.9
    assert max(one.observed_time_ms for one in result.rows) - SLOT < most_s * 1_000
    assert host.most_at_once <= 4


def test_symbols_are_begun_at_least_two_tenths_of_a_second_apart(tmp_path: Path) -> None:
    host = host_of(SYMBOLS[:20], latency_s=0.01)
    take(SYMBOLS[:20], host, tmp_path)
    assert len(host.begun_ms) == 20
    assert min(after - before for before, after in pairwise(host.begun_ms)) >= 199


def test_memory_of_a_slot_grows_by_kilobytes_a_symbol(tmp_path: Path) -> None:
    take(SYMBOLS[:1], host_of(SYMBOLS[:1]), tmp_path / "imports")
    peaks = []
    for count in (20, 120):
        host = host_of(SYMBOLS[:count], latency_s=0.01)
        tracemalloc.start()
        take(SYMBOLS[:count], host, tmp_path / str(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 100 < 25_000


def test_after_a_long_outage_a_run_fills_what_fits_into_memory_and_the_next_ones_the_rest() -> None:
    week = 2_015 * BAR
    known: set[int] = {SLOT - week}
    runs = 0
    while holes := holes_of(SLOT, SLOT, BAR, known, len(SYMBOLS)):
        runs += 1
        assert len(holes) * len(SYMBOLS) <= MOST_ROWS
        assert holes[0] == max(known) + BAR, "the oldest first: they pass out of reach"
        known |= set(holes)
    assert runs == 101 and known == set(range(SLOT - week, SLOT, BAR))


def test_a_late_run_of_many_symbols_fills_its_own_slot_whatever_else_is_missing() -> None:
    late = holes_of(SLOT, SLOT + BAR, BAR, {SLOT - 1_000 * BAR}, len(SYMBOLS))
    assert late[-1] == SLOT and len(late) == MOST_ROWS // 500 + 1


@pytest.mark.thorough
def test_what_has_waited_lands_in_parts_that_fit_into_memory(tmp_path: Path) -> None:
    spool, parts = Spool(tmp_path), list[int]()
    for place in range(3):
        spool.put_rows([row(SLOT + place * BAR + n * 7 * BAR) for n in range(MOST_ROWS // 2)], ROWS)

    def take_part(rows: list[SnapshotRow]) -> None:
        parts.append(len(rows))

    assert spool.drain_rows(ROWS, take_part) == 3 * (MOST_ROWS // 2)
    assert parts == [MOST_ROWS, MOST_ROWS // 2]
