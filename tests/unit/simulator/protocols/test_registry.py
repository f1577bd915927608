"""One seeded world, whichever exchange's protocol tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import UsageError
from simulator.protocols.registry import EXCHANGES
from tests.unit.simulator.protocols.market import START_MS, Market

NAMES = {"binance": "BTCUSD", "kraken": "BTC/USD", "coinbase": "BTC-USD"}
Entry = Mapping[str, Any]


def logged(exchange: str, seed: int, path: Path) -> list[Entry]:
    """The log of ten seconds of trades and bars of one second."""
    symbol = NAMES[exchange]
    market = Market(exchange, (symbol,), seed=seed, log=path)
    market.hub.wanted = frozenset(market.world.dialect.followed(symbol, ("1s",)))
    market.run(10)
    market.log.close()
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    return [entry for entry in entries if entry["kind"] in ("trade", "kline")]


def told(entries: list[Entry], kind: str) -> list[tuple[Any, ...]]:
    names = {
        "trade": ("trade_id", "trade_time_ms", "price", "quantity", "buyer_is_maker"),
        "kline": (
            "open_time_ms",
            "open",
            "high",
            "low",
            "close",
            "base_volume",
            "quote_volume",
            "trade_count",
        ),
    }[kind]
    return [
        tuple(Decimal(e[name]) if isinstance(e[name], str) else e[name] for name in names)
        for e in entries
        # Coinbase sends what happens at the last instant a quarter of a second later.
        if e["kind"] == kind and e.get("trade_time_ms", 0) < START_MS + 10_000
    ]


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_all_exchanges_tell_the_same_trades_and_bars(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("logs")
    logs = {exchange: logged(exchange, seed, directory / exchange) for exchange in EXCHANGES}
    for kind in ("trade", "kline"):
        versions = [told(log, kind) for log in logs.values()]
        assert len(versions[0]) >= 9 and versions[0] == versions[1] == versions[2]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_bars_that_only_the_log_has_are_withheld_from_nobody(exchange: str, tmp_path: Path) -> None:
    symbol, log = NAMES[exchange], tmp_path / "log"
    market = Market(exchange, (symbol,), log=log)
    market.hub.wanted = frozenset(market.world.dialect.followed(symbol, ("1s",)))
    market.run(5)
    market.log.close()
    withheld = {json.loads(line)["stream"] for line in log.read_text().splitlines() if "withheld" in line}
    assert withheld == ({"trade", "kline"} if exchange == "binance" else {"trade"})


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_names_and_scopes_agree(exchange: str) -> None:
    dialect = EXCHANGES[exchange].dialect
    assert dialect.name == dialect.scope.exchange == exchange
    assert dialect.scope.paths and set(dialect.scope.streams) >= {"trade", "depth", "quote"}
    checked = EXCHANGES[exchange].checked
    assert checked is None or all(checked(symbol) == symbol for symbol in EXCHANGES[exchange].symbols)


@pytest.mark.parametrize("exchange", ["kraken", "coinbase"])
def test_a_symbol_without_end_is_refused_in_one_short_line(exchange: str) -> None:
    checked = EXCHANGES[exchange].checked
    assert checked is not None
    with pytest.raises(UsageError) as refused:
        checked("X" * 100_000)
    assert len(str(refused.value)) < 300
