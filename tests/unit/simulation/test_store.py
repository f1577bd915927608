"""The store of the simulation keeps the stores' contract, and when it fails it loses nothing that it said it
has, and says nothing of what it may have."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given

from consumers.batch_write import BatchWrite
from consumers.enrich.port import Enriched
from consumers.measurements import Point
from shared.errors import StoreUnavailable
from shared.ledger import PendingEvents
from tests.simulation.store import MemoryDatabase, MemoryReader, MemoryStore
from tests.store_contract import BASE_NS, DAY_NS, ON_ONE_STORE, StoreContract, bar, points, trade, trade_ids


@dataclass
class MemoryPlace:
    database: MemoryDatabase = field(default_factory=MemoryDatabase)

    def open(self, *, ticks_expiry_ns: int | None = 7 * DAY_NS) -> MemoryStore:
        return MemoryStore(self.database, ticks_expiry_ns=ticks_expiry_ns)

    def reader(self) -> MemoryReader:
        return MemoryReader(self.database)


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def place(self) -> MemoryPlace:
        return MemoryPlace()

    @ON_ONE_STORE
    @given(batch=points())
    def test_every_measurement_comes_back_with_equal_values_and_types(
        self, place: MemoryPlace, store: MemoryStore, batch: list[Point]
    ) -> None:
        self.assert_comes_back(place, store, batch)


BATCH = [point for number in range(50) for point in (trade("A", number), bar("A", "1m", number))]


def test_while_it_is_away_nothing_is_said_to_be_stored_and_nothing_can_be_read() -> None:
    database = MemoryDatabase()
    store, reader = MemoryStore(database), MemoryReader(database)
    database.away = True
    with pytest.raises(StoreUnavailable):
        store.write(BATCH)
    with pytest.raises(StoreUnavailable):
        list(reader.read("trade", {}))
    database.away = False
    store.write(BATCH)
    assert trade_ids(reader.read("trade", {})) == list(range(50))


def test_a_request_that_fails_may_have_stored_none_some_or_all_of_its_points() -> None:
    found: set[str] = set()
    for seed in range(200):
        database = MemoryDatabase(random.Random(seed))
        database.away = True
        with pytest.raises(StoreUnavailable):
            MemoryStore(database).write(BATCH[:4])
        # Two of them are bars, in a request of their own, which comes first and ends the call.
        found.add({0: "none", 1: "some", 2: "all"}[len(database.rows)])
    assert found == {"none", "some", "all"}


def test_a_seed_decides_what_a_failing_request_has_stored() -> None:
    def run() -> tuple[list[float | None], set[tuple[str, tuple[str, ...], int]]]:
        database = MemoryDatabase(random.Random(7))
        database.away = True
        said: list[float | None] = []
        for _ in range(20):
            with pytest.raises(StoreUnavailable) as caught:
                MemoryStore(database).write(BATCH)
            said.append(caught.value.retry_after)
        return said, set(database.rows)

    assert run() == run()
    said, rows = run()
    assert {value is None for value in said} == {True, False}
    assert 0 < len(rows) <= len(BATCH)


def test_a_batch_that_is_repeated_until_it_arrives_ends_as_an_undisturbed_one() -> None:
    undisturbed = MemoryStore()
    undisturbed.write(BATCH)
    for seed in range(50):
        chance = random.Random(seed)
        database = MemoryDatabase(chance)
        batch = BatchWrite(MemoryStore(database), Enriched(BATCH, PendingEvents()), [], lambda: 1)
        failures = 0
        while batch.stored_ms is None:
            database.away = chance.random() < 0.8
            try:
                batch.run()
            except StoreUnavailable:
                failures += 1
        assert database.rows == undisturbed.rows


class Journey:
    """Time that passes while a request is on its way; its user may be killed meanwhile."""

    class Killed(BaseException):
        pass

    def __init__(self, killed_at: int) -> None:
        self.steps: list[float] = []
        self._killed_at = killed_at

    def __call__(self, seconds: float) -> None:
        self.steps.append(seconds)
        if len(self.steps) == self._killed_at:
            raise self.Killed


def test_a_client_that_dies_leaves_what_had_arrived() -> None:
    """Bars are asked for first, then trades; each request takes a way there and a way back."""
    for killed_at, arrived in ((1, set()), (2, {"kline"}), (3, {"kline"}), (4, {"kline", "trade"})):
        journey = Journey(killed_at)
        database = MemoryDatabase(wait=journey)
        with pytest.raises(Journey.Killed):
            MemoryStore(database).write(BATCH)
        assert {name for name, _, _ in database.rows} == arrived
    assert all(0.0005 <= step <= 0.01 for step in journey.steps)


def test_an_answer_that_is_lost_is_a_failure_though_all_is_stored() -> None:
    database = MemoryDatabase(wait=lambda _seconds: setattr(database, "away", bool(database.rows)))
    with pytest.raises(StoreUnavailable):
        MemoryStore(database).write([trade("A", 1)])
    assert list(database.rows) == [("trade", ("binance", "A"), BASE_NS + 1)]
