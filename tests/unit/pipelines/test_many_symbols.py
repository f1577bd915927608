"""Five hundred symbols in one slot: inside the weight budget and in time, by the simulator's weights."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from pipelines.snapshots.extract import ExchangeClock, SnapshotExchange
from pipelines.snapshots.observation import Observation
from pipelines.snapshots.plan import weight_share
from tests.plain_exchange import BAR, PlainExchange, VirtualHost
from tests.snapshot_builders import SLOT
from tests.virtual_time import run_virtually

SYMBOLS = [f"S{number:03d}USDT" for number in range(500)]


async def take(symbols: list[str], host: VirtualHost) -> tuple[list[Any], list[int]]:
    share = weight_share(len(symbols), BAR)
    assert share is not None
    exchange = SnapshotExchange("http://host", share, ExchangeClock(host.now_ms))
    begun: list[int] = []

    async def send(url: str, parameters: dict[str, str]) -> Any:
        if url.endswith("ticker/24hr"):
            begun.append(host.now_ms())
        return await host.answer(url, parameters, Counter())

    exchange.rest._send = send  # type: ignore[method-assign]
    statuses = await exchange.statuses(symbols)
    assert statuses == dict.fromkeys(symbols, "TRADING")
    observed = await asyncio.gather(*(exchange.observe_within(symbol, SLOT + BAR) for symbol in symbols))
    return list(observed), begun


@pytest.mark.parametrize(("count", "most_s"), [(3, 5), (500, 200)])
def test_a_slot_stays_inside_the_weight_budget_and_ends_well_before_the_next(count: int, most_s: int) -> None:
    symbols = SYMBOLS[:count]
    host = VirtualHost(PlainExchange(symbols, SLOT, SLOT + BAR), SLOT, latency_s=0.1)
    observed, _ = run_virtually(take(symbols, host))
    assert all(isinstance(one, Observation) for one in observed)
    assert not {429, 418} & set(host.log)
    assert max(host.weight_by_minute.values()) <= 6_000 * 0.9
    assert max(one.observed_time_ms for one in observed) - SLOT < most_s * 1_000
    assert host.most_at_once <= 4


def test_symbols_are_begun_at_least_two_tenths_of_a_second_apart() -> None:
    host = VirtualHost(PlainExchange(SYMBOLS[:20], SLOT, SLOT + BAR), SLOT, latency_s=0.01)
    _, begun = run_virtually(take(SYMBOLS[:20], host))
    assert len(begun) == 20
    assert min(after - before for before, after in pairwise(begun)) >= 199
