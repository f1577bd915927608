"""A whole stack on real Kafka and real InfluxDB under all faults: nothing is lost, nothing is invented.

Each run is compared with what the exchange issued and with an undisturbed run of the same market. Files may
run side by side; each worker has servers and an undisturbed run of its own. Every fault by itself, and fifty
kills of a kind: `make chaos` (docs/faults.md).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from chaos.market import Market, start_before
from chaos.runner import Runner
from chaos.servers import Servers
from tests.conftest import real_influx, real_kafka
from tests.integration.chaos.promises import KILLS


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    directory = tmp_path_factory.mktemp("engines")
    with Servers(real_kafka(directory / "kafka"), real_influx(directory / "influx")) as started:
        yield started


@pytest.fixture(scope="session")
def market() -> Market:
    return Market(start_before(time.time_ns() // 1_000_000))


@pytest.fixture(scope="session")
def runner(servers: Servers, market: Market, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """One for all scenarios of a worker: they are compared with the same undisturbed run."""
    return Runner(servers, market, tmp_path_factory.mktemp("runs"), print, kills=KILLS)
