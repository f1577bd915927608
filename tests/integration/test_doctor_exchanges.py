"""The doctor's checks of each exchange, on simulators: wrong names, a halt, a refused subscription."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from cryptostream.doctor.checks import Finding, run_checks
from cryptostream.doctor.exchange import checks
from producers.exchanges.registry import EXCHANGES
from shared.settings import load_settings
from tests.services import simulator

SYMBOLS = {
    "binance": "BTCUSDC,ETHUSDC",
    "kraken": "BTC/USD,ETH/USD,XRP/USD",
    "coinbase": "BTC-USD,ETH-USD,XRP-USD",
}
HALTED = {"kraken": "ETH/USD", "coinbase": "ETH-USD"}


def findings(symbols: str, names: Sequence[str]) -> dict[str, list[Finding]]:
    """What the doctor finds on fresh simulators, which count requests; a symbol of two of them is halted."""
    addresses: dict[str, Any] = {}
    with ExitStack() as stack:
        for name in names:
            words = ["--exchange", name, "--symbols", SYMBOLS[name], "--rate", "5"]
            if name in HALTED:
                words += ["--fault", f"halt:symbols={HALTED[name]},from=0,to=86400"]
            if name == "coinbase":
                words += ["--far-levels", "100"]
            running = stack.enter_context(simulator(words))
            settings = EXCHANGES[name].settings
            for setting in (settings.rest, settings.history):
                addresses[setting.lower()] = running["rest_url"]
            addresses[settings.stream.lower()] = running["ws_url"]
        found: dict[str, list[Finding]] = {}
        for finding in run_checks(checks(load_settings(symbols=symbols, intervals="1m", **addresses))):
            found.setdefault(finding.check, []).append(finding)
        return found


def test_each_exchange_of_the_deployment_is_checked_under_its_name() -> None:
    found = findings("BTCUSDC,kraken:BTC/USD,coinbase:BTC-USD", tuple(SYMBOLS))
    parts = ("rest", "clock", "symbols", "history", "stream")
    assert set(found) == {f"{name} {part}" for name in SYMBOLS for part in parts}
    assert {finding.status for each in found.values() for finding in each} == {"ok"}, found
    assert found["kraken symbols"][0].detail == "1 traded: BTC/USD"
    assert found["coinbase stream"][0].detail.endswith(" of BTC-USD)")


@pytest.mark.parametrize("exchange", ["kraken", "coinbase"])
def test_one_exchange_needs_no_name(exchange: str) -> None:
    symbols = ",".join(f"{exchange}:{symbol}" for symbol in SYMBOLS[exchange].split(","))
    found = findings(symbols, (exchange,))
    assert {"exchange rest", "clock", "exchange symbols", "exchange stream"} <= set(found)
    closed, good = found["exchange symbols"]
    assert (closed.status, good.status) == ("warn", "ok")
    assert closed.detail.startswith(f"{HALTED[exchange]} is ")
    assert closed.detail.endswith(": it has no trades and no bars now")


@pytest.mark.parametrize(
    ("symbol", "detail", "fix"),
    [
        ("kraken:XBT/USD", "'XBT/USD' is an old name of a pair of Kraken", "write BTC/USD"),
        ("kraken:BTC/USDD", "BTC/USDD is not traded there", "did you mean BTC/USD"),
        ("coinbase:BTC-USX", "BTC-USX is not traded there", "did you mean BTC-USD"),
        ("coinbase:XBT-USD", "XBT-USD is not traded there", "did you mean BTC-USD"),
    ],
)
def test_a_wrong_name_is_one_line_with_the_right_one(symbol: str, detail: str, fix: str) -> None:
    (finding,) = findings(symbol, (symbol.partition(":")[0],))["exchange symbols"]
    assert finding.status == "fail"
    assert finding.detail == detail
    assert fix in finding.fix


@pytest.mark.parametrize(
    ("symbol", "said"),
    [
        ("kraken:NOPE/USD", "kraken refuses the subscription of NOPE/USD: "),
        ("coinbase:NOPE-USD", "coinbase refuses a subscription: "),
    ],
)
def test_a_refused_subscription_is_one_line_with_the_exchanges_words(symbol: str, said: str) -> None:
    (finding,) = findings(symbol, (symbol.partition(":")[0],))["exchange stream"]
    assert finding.status == "fail"
    assert said in finding.detail and "NOPE" in finding.detail
    assert finding.fix == "see whether SYMBOLS are listed"
