"""A whole stack on real Kafka and real InfluxDB under all faults: nothing is lost, nothing is invented.

Each run is compared with what the exchange issued and with an undisturbed run of the same market. Files may
run side by side; each worker has engines and an undisturbed run of its own. Every fault by itself, and fifty
kills of a kind: `make chaos` (docs/faults.md).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from cryptostream.chaos.engines import Engines
from cryptostream.chaos.market import Market, start_before
from cryptostream.chaos.runner import Runner
from tests.conftest import real_influx, real_kafka
from tests.integration.chaos.judge import KILLS


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    directory = tmp_path_factory.mktemp("engines")
    with Engines(real_kafka(directory / "kafka"), real_influx(directory / "influx")) as started:
        yield started


@pytest.fixture(scope="session")
def market() -> Market:
    return Market(start_before(time.time_ns() // 1_000_000))


@pytest.fixture(scope="session")
def runner(engines: Engines, market: Market, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """One for all scenarios of a worker: they are compared with the same undisturbed run."""
    return Runner(engines, market, tmp_path_factory.mktemp("runs"), print, kills=KILLS)
