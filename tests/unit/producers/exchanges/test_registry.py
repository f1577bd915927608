"""The list of exchanges, what a wrong name says, and the page that is written from it."""

from __future__ import annotations

import pytest

from producers.exchanges.binance.exchange import BINANCE
from producers.exchanges.registry import EXCHANGES, exchange_named, symbol_at
from scripts.make_exchanges import PAGE, README, page, promises_table, with_promises
from shared.errors import SettingsError
from shared.markets import NOTATIONS
from shared.settings import Settings
from tests.conftest import ROOT
from tests.unit.producers.exchanges.toy import TOY


def test_the_setting_takes_the_names_of_the_list() -> None:
    assert tuple(NOTATIONS) == tuple(EXCHANGES)
    for name, notation in NOTATIONS.items():
        assert [EXCHANGES[name].symbol(symbol) for symbol in notation.usual] == list(notation.usual)
    assert all(exchange_named(name).name == name for name in EXCHANGES)


def test_every_folder_of_an_exchange_is_in_the_list() -> None:
    folders = {path.parent.name for path in (ROOT / "producers" / "exchanges").glob("*/exchange.py")}
    assert folders == set(EXCHANGES)


def test_a_wrong_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match='EXCHANGE: "moon" is not an exchange here; choose from binance'):
        exchange_named("moon")


def test_a_symbol_is_read_as_its_exchange_writes_it() -> None:
    assert symbol_at("binance", "btcusdc") == "BTCUSDC"
    # A store may hold what another version has written.
    assert symbol_at("moon", "btc/usd") == "BTC/USD"


def test_every_setting_of_an_address_is_one() -> None:
    for exchange in EXCHANGES.values():
        assert {name.lower() for name in exchange.settings} <= Settings.model_fields.keys()


def test_the_pages_have_the_promises_that_are_declared() -> None:
    exchanges = tuple(EXCHANGES.values())
    assert PAGE.read_text(encoding="utf-8") == page(exchanges), "run: make docs"
    readme = README.read_text(encoding="utf-8")
    assert with_promises(readme, exchanges) == readme, "run: make docs"


def test_the_table_has_a_column_for_each_exchange() -> None:
    lines = promises_table((BINANCE, TOY)).splitlines()
    assert lines[0] == "| stream | Binance | Toy |"
    assert {line.count("|") for line in lines} == {4}
