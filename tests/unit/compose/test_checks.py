"""What the test of whole stacks expects of them."""

from __future__ import annotations

import json
from typing import Any, Final, cast

import pytest

from shared.settings import load_settings
from tests.compose import checks
from tests.compose.composer import Composer, Failed


def report(*series: checks.Series) -> dict[str, Any]:
    """As `ledger --format json` has it."""
    names = ("exchange", "symbol", "stream", "interval")
    found = [{**dict(zip(names, each, strict=True)), "lost": 0, "expected": 7} for each in series]
    return {"series": found, "complete": True, "verification": []}


class Stack:
    """A composer whose services have these settings, and whose ledger says this."""

    def __init__(self, said: dict[str, Any], symbols: str, intervals: str) -> None:
        self.said = said
        self.settings = load_settings(symbols=symbols, intervals=intervals)

    def cli(self, *_: str, **__: Any) -> str:
        return json.dumps(self.said)

    def call(self, *words: str, **_: Any) -> str:
        assert words[-3:-1] == ("cli", "-c") and "load_settings()" in words[-1]
        text = json.dumps([list(map(str, self.settings.markets)), self.settings.intervals])
        return f"a warning\n{text}\n"


STREAMS: Final = (("trades", ""), ("klines", "1s"), ("klines", "1m"))
BINANCE: Final[list[checks.Series]] = [("binance", "BTCUSDC", *stream) for stream in STREAMS]
KRAKEN: Final[list[checks.Series]] = [("kraken", "BTC/USD", *stream) for stream in STREAMS]


def checked(said: dict[str, Any], symbols: str, intervals: str = "1s,1m") -> None:
    checks.ledger(cast(Composer, Stack(said, symbols, intervals)))


def test_the_ledger_has_to_count_what_the_settings_name_whichever_they_are() -> None:
    checked(report(*BINANCE), "BTCUSDC")
    checked(report(*BINANCE, *KRAKEN), "BTCUSDC,kraken:BTC/USD")
    checked(report(*BINANCE[:2]), "BTCUSDC", "1s")


@pytest.mark.parametrize(
    ("said", "symbols", "named"),
    [
        (report(*BINANCE), "BTCUSDC,kraken:BTC/USD", "not counted .*kraken"),
        (report(*BINANCE, *KRAKEN), "BTCUSDC", "counted beside the settings .*kraken"),
        # As many series, but others.
        (report(*BINANCE), "kraken:BTC/USD", "not counted .*kraken.*beside the settings .*binance"),
    ],
)
def test_another_exchanges_series_do_not_count_in_its_place(
    said: dict[str, Any], symbols: str, named: str
) -> None:
    with pytest.raises(Failed, match=named):
        checked(said, symbols)
