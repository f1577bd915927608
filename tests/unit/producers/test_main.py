"""What part of a deployment a producer process takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from producers.__main__ import main, own_part
from shared.settings import load_settings


@pytest.fixture(autouse=True)
def _deployment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EXCHANGE", raising=False)
    monkeypatch.setenv("SYMBOLS", "BTCUSDC,kraken:BTC/USD,kraken:ETH/USD,ETHUSDC")


def test_a_prefix_chooses_the_exchange_and_its_part_of_the_deployment() -> None:
    settings, symbols = own_part(load_settings(), "kraken:ETH/USD")
    assert (settings.exchange, symbols) == ("kraken", ("ETH/USD",))
    assert settings.symbols == ("BTC/USD", "ETH/USD")  # for its slot among them


def test_symbols_without_a_prefix_are_of_the_exchange_in_force() -> None:
    settings, symbols = own_part(load_settings(), "ETHUSDC,BTCUSDC")
    assert (settings.exchange, symbols) == ("binance", ("ETHUSDC", "BTCUSDC"))
    assert settings.symbols == ("BTCUSDC", "ETHUSDC")


def test_an_exchange_that_is_not_deployed_can_be_carried_too() -> None:
    settings, symbols = own_part(load_settings(), "coinbase:BTC-USD")
    assert (settings.exchange, settings.symbols, symbols) == ("coinbase", (), ("BTC-USD",))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--symbols", "kraken:BTC/USD,BTCUSDC,kraken:ETH/USD"),
            "--symbols: names kraken:BTC/USD and binance:BTCUSDC, but a producer belongs to one exchange;"
            " start one for each, like --symbols kraken:BTC/USD,kraken:ETH/USD",
        ),
        (
            (),
            "SYMBOLS: names binance:BTCUSDC and kraken:BTC/USD, but a producer belongs to one exchange;"
            " start one for each, like --symbols binance:BTCUSDC,binance:ETHUSDC",
        ),
    ],
)
def test_symbols_of_two_exchanges_are_refused_in_one_line(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert message in capsys.readouterr().err
