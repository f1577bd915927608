"""Markets of other exchanges: a profile, a producer and a simulator each, and one word for make."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

import pytest

from producers.exchanges.registry import EXCHANGES
from shared.settings import Settings
from tests.conftest import ROOT
from tests.unit.compose.stack import OVERLAYS, WHOLE, at_defaults, services


def of_profiles(file: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Producers of other exchanges' markets: market → name and service."""
    return {
        service["command"][-1]: (name, service)
        for name, service in services(file).items()
        if name.startswith("producer-") and "profiles" in service
    }


def made_command(*words: str) -> list[str]:
    """The words of the command that make would run."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("EXCHANGES", "MAKEFLAGS")
    }
    done = subprocess.run(
        ["make", "-n", *words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env=environment,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize("file", WHOLE)
def test_a_market_of_another_exchange_has_a_producer_in_that_exchanges_profile(file: str) -> None:
    found = of_profiles(file)
    assert {"kraken", "coinbase"} <= {market.split(":")[0] for market in found}
    for market, (name, service) in found.items():
        exchange, _, symbol = market.partition(":")
        assert service["profiles"] == [exchange]
        assert EXCHANGES[exchange].symbol(symbol) == symbol
        assert name == "producer-" + re.sub(r"\W", "-", market).lower()
        # Its starts are counted in a file of this name.
        assert service["environment"]["INSTANCE"] == re.sub(r"[:/]", "-", market)


@pytest.mark.parametrize("file", WHOLE)
def test_whoever_asks_an_exchange_is_told_its_addresses(file: str) -> None:
    asking = {name for name in services(file) if name.startswith("producer-")} | {"cli"}
    for exchange in ("binance", "kraken", "coinbase"):
        for name in asking:
            assert set(EXCHANGES[exchange].settings) <= services(file)[name]["environment"].keys(), name


@pytest.mark.parametrize("file", WHOLE)
def test_every_service_follows_the_symbols_of_binance_and_the_other_markets(file: str) -> None:
    markets = list(of_profiles(file))
    given = {
        name: service["environment"]["SYMBOLS"]
        for name, service in services(file).items()
        if "SYMBOLS" in service.get("environment", {})
    }
    assert {"api", "cli", "consumer-1m", "producer-btcusdc", "producer-kraken-btc-usd"} <= given.keys()
    (text,) = set(given.values())
    usual = list(Settings.model_fields["symbols"].default)
    for more, expected in (("", []), (",".join(markets), markets)):
        symbols = at_defaults(text.replace("${MORE_SYMBOLS:-}", more))
        settings = Settings(_env_file=None, symbols=symbols)
        assert [str(market) for market in settings.markets] == [
            f"binance:{name}" for name in usual
        ] + expected


@pytest.mark.parametrize("file", WHOLE)
def test_make_brings_up_an_exchanges_profile_and_names_its_market_to_all(file: str) -> None:
    markets = list(of_profiles(file))
    words = made_command("ps", "EXCHANGES=binance," + ",".join(market.split(":")[0] for market in markets))
    assert f"MORE_SYMBOLS={','.join(markets)}" in words
    profiles = [words[at + 1] for at, word in enumerate(words) if word == "--profile"]
    assert profiles == [market.split(":")[0] for market in markets]
    for plain in (made_command("ps"), made_command("ps", "EXCHANGES=binance")):
        assert not any(word.startswith(("MORE_SYMBOLS", "--profile")) for word in plain)


def test_make_names_the_exchanges_that_there_are() -> None:
    done = subprocess.run(
        ["make", "-n", "up", "EXCHANGES=kraken,ftx"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode != 0
    assert 'EXCHANGES=kraken,ftx: "ftx" is none of them; choose from kraken, coinbase' in done.stderr


def test_make_ends_containers_of_every_profile() -> None:
    profiles = {
        profile
        for file in (*WHOLE, *OVERLAYS)
        for service in services(file).values()
        for profile in service.get("profiles", ())
    }
    words = made_command("down")
    assert {words[at + 1] for at, word in enumerate(words) if word == "--profile"} == profiles


@pytest.mark.parametrize("file", WHOLE)
def test_a_simulator_of_another_exchange_runs_with_its_market_alone(file: str) -> None:
    overlay = services("compose.simulator.yml")
    for market, (name, _) in of_profiles(file).items():
        exchange, _, symbol = market.partition(":")
        simulated = overlay[f"simulator-{exchange}"]
        assert simulated["profiles"] == [exchange]
        command = simulated["command"]
        assert command[command.index("--exchange") + 1] == exchange
        assert command[command.index("--symbols") + 1] == symbol
        # One market for all: the same start and seed.
        assert command[command.index("--start") :] == overlay["simulator"]["command"][-4:]
        assert overlay[name]["depends_on"] == {f"simulator-{exchange}": {"condition": "service_healthy"}}
