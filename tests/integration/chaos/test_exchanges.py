"""Kraken and Coinbase on real Kafka and InfluxDB: a killed producer, and what their own books can suffer."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from chaos.market import start_before
from chaos.runner import Runner
from chaos.servers import Servers
from chaos.venues import VENUES, chosen
from tests.integration.chaos.promises import KILLS, TIMEOUT_S, assert_kept

# Each begins with an undisturbed run of its market, at the market's own speed.
pytestmark = [pytest.mark.timeout(2 * TIMEOUT_S), pytest.mark.long]
OWN = {"kraken": "bad-checksum", "coinbase": "counter-jump"}


@pytest.mark.parametrize("exchange", OWN)
def test_a_killed_producer_and_a_broken_book_cost_nothing(
    servers: Servers, tmp_path: Path, exchange: str
) -> None:
    venue = VENUES[exchange]
    market = venue.market(start_before(time.time_ns() // 1_000_000), 1)
    runner = Runner(servers, market, tmp_path, print, kills=KILLS)
    killed, broken = (runner.run(each) for each in chosen(["kill-producer", OWN[exchange]], venue))
    assert_kept(killed)
    assert killed.kills == KILLS
    assert_kept(broken)
    assert broken.books > 0
