"""Twenty slots through Prefect itself, the exchange faulty, runs repeated and late: the same laws."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.extras import require_snapshot_extras

require_snapshot_extras()

from pipelines.snapshots.quiet import quiet

quiet()

from prefect import get_client
from prefect.flow_engine import run_flow_async
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled

from cryptostream.snapshots.flow import market_snapshot
from pipelines.snapshots import flow as flow_module
from pipelines.snapshots.extract import SnapshotExchange
from pipelines.snapshots.landing.files import SnapshotFiles
from pipelines.snapshots.landing.local import LocalLanding
from pipelines.snapshots.slots import slot_at
from tests.integration.snapshots.prefect_server import Server
from tests.plain_exchange import BAR, PlainExchange, VirtualHost

SYMBOLS = ("BTCUSDT", "ETHUSDT")
SLOTS = 20
FAULTS = ("rest_5xx:probability=0.05", "rest_garbage:probability=0.05", "rest_cut:probability=0.02")


@pytest.fixture
def at_the_server(prefect: Server) -> Iterator[None]:
    """Flows of this process are runs of the tests' server."""
    server = {PREFECT_API_URL: prefect.environment["PREFECT_API_URL"], PREFECT_API_AUTH_STRING: prefect.login}
    with temporary_settings(server):
        yield


class SlotClock:
    """The machine's clock while a run is made: a moment after its slot, and going on from there."""

    def __init__(self) -> None:
        self.offset_ms = 0

    def set_to(self, time_ms: int) -> None:
        self.offset_ms = time_ms - self._real_ms()

    def now_ms(self) -> int:
        return self._real_ms() + self.offset_ms

    @staticmethod
    def _real_ms() -> int:
        return round(datetime.now(UTC).timestamp() * 1000)


class TimedHost(VirtualHost):
    """The exchange in the time of a SlotClock."""

    clock = SlotClock()

    def now_ms(self) -> int:
        return self.clock.now_ms()


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("at_the_server")
def test_twenty_slots_through_prefect_end_as_the_exchange_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Slots of the past: nothing waits for them, and the host's clock says that it is then.
    first_ms = slot_at(SlotClock._real_ms(), BAR) - (SLOTS + 5) * BAR
    market = PlainExchange(SYMBOLS, first_ms, first_ms + (SLOTS + 30) * BAR)
    host = TimedHost(market, first_ms, FAULTS, latency_s=0.001)
    served: Counter[tuple[str, str]] = Counter()

    @asynccontextmanager
    async def open_exchange(_url: str, share: float) -> AsyncIterator[SnapshotExchange]:
        yield host.client(share, served)

    monkeypatch.setattr(flow_module, "open_exchange", open_exchange)
    # The client's waits between attempts are its own tests' matter.
    monkeypatch.setattr("shared.backoff.Backoff.failed", lambda _self, _asked=None: 0.01)
    must: dict[tuple[str, int], str] = {}

    async def run(slot_ms: int, now_ms: int) -> Any:
        host.clock.set_to(now_ms)
        served.clear()
        async with get_client() as client:
            scheduled = Scheduled(scheduled_time=datetime.fromtimestamp(slot_ms / 1000, UTC))
            made = await client.create_flow_run(
                market_snapshot,
                parameters={"symbols": list(SYMBOLS), "directory": str(tmp_path), "cron": "*/5 * * * *"},
                state=scheduled,
            )
        state = await run_flow_async(
            market_snapshot, flow_run=made, parameters=made.parameters, return_type="state"
        )
        for symbol in SYMBOLS:
            whole = all(served[path, symbol] for path in ("ticker/24hr", "depth", "trades"))
            if whole:
                must[symbol, slot_ms] = "complete"
            must.setdefault((symbol, slot_ms), "backfilled")
        return state

    async def all_runs() -> list[Any]:
        states = []
        for place in range(SLOTS):
            slot_ms = first_ms + place * BAR
            match place % 5:
                case 1:  # twice
                    states += [await run(slot_ms, slot_ms + 500), await run(slot_ms, slot_ms + 9_000)]
                case 3:  # late: the market of the slot has gone
                    states.append(await run(slot_ms, slot_ms + BAR + 1_000))
                case _:
                    states.append(await run(slot_ms, slot_ms + 500))
        end_ms = first_ms + SLOTS * BAR
        for _ in range(3):
            await run(end_ms, end_ms + 500)
        return states

    states = asyncio.run(all_runs())
    files = SnapshotFiles(LocalLanding(tmp_path / "parquet"), BAR)
    rows = [row for place in range(SLOTS) for row in files.rows(first_ms + place * BAR)]
    assert len(rows) == len({row.key for row in rows}) == SLOTS * len(SYMBOLS)
    wanted = {key: status for key, status in must.items() if key[1] < first_ms + SLOTS * BAR}
    assert {(row.symbol, row.slot_ms): row.status for row in rows} == wanted
    assert Counter(wanted.values())["backfilled"] >= SLOTS // 5 * len(SYMBOLS)
    names = Counter(state.name for state in states)
    assert names["Completed"] >= SLOTS // 2 and names["Late"] >= SLOTS // 5, names
    assert sum(host.log[status] for status in (500, 502, 503, 504)) > 5
    assert os.environ["DO_NOT_TRACK"] == "1"
