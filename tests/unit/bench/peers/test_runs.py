"""Every side gets the same market, and is held to the part of it that all can have seen."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from bench.peers.runs import SYMBOLS, Market, our_settings, peer_command
from bench.peers.scenarios import CLEAN_S, scenarios
from bench.peers.venv import PEERS
from producers.exchanges.registry import exchange_named
from shared.settings import load_settings
from simulator.__main__ import add_arguments

START_MS = 1_785_767_100_000


@pytest.mark.parametrize("exchange", sorted(SYMBOLS))
def test_the_simulator_understands_the_market_and_its_faults(exchange: str) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    market = Market(exchange, START_MS, 40, scenarios(exchange)["all"])
    asked = parser.parse_args(market.arguments)
    assert (asked.exchange, asked.start, asked.freeze_at, asked.hold) == (exchange, START_MS, 40, 1)
    assert tuple(asked.symbols.split(",")) == market.symbols
    assert tuple(asked.fault) == market.faults


def test_neither_the_clean_start_nor_the_last_moments_count() -> None:
    span = Market("kraken", START_MS, 40, ()).span
    assert START_MS + CLEAN_S * 1_000 in span and START_MS + CLEAN_S * 1_000 - 1 not in span
    assert START_MS + 36_999 in span and START_MS + 37_000 not in span


@pytest.mark.parametrize("exchange", sorted(SYMBOLS))
def test_our_producer_and_the_peers_are_pointed_at_the_same_exchange(
    exchange: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://127.0.0.1:7001"
    for name, value in our_settings(exchange, url, "localhost:9092").items():
        monkeypatch.setenv(name, value)
    addresses = exchange_named(exchange).addresses(load_settings())
    assert set(addresses) == {url, "ws://127.0.0.1:7001"}
    command = peer_command(PEERS[-1], Path("python"), exchange, url, SYMBOLS[exchange])
    assert command[-5:] == [url, "--stream", "ws://127.0.0.1:7001", "--symbols", "BTC-USD,ETH-USD"]
