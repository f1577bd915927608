"""A live run asks whether its symbols are listed before it starts anything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from cryptostream.cli import main
from cryptostream.run.listings import require_listed
from shared.errors import UnknownSymbol
from shared.settings import Settings, load_settings

BITCOIN = {"altname": "XBTUSD", "wsname": "XBT/USD", "pair_decimals": 1, "lot_decimals": 8}


def pairs(asked: str) -> tuple[int, Any]:
    """As Kraken answers AssetPairs: one unknown pair refuses all that are named."""
    if "FOO" in asked:
        return 200, {"error": ["EQuery:Unknown asset pair"]}
    return 200, {"error": [], "result": {"XXBTZUSD": BITCOIN}}


class Kraken:
    """Kraken's REST on localhost; `answer` is of AssetPairs, and every other question is answered by {}."""

    def __init__(self) -> None:
        self.answer: Callable[[str], tuple[int, Any]] = pairs
        kraken = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = kraken.answer(self.path) if "AssetPairs" in self.path else (200, {})
                self.send_response(status)
                self.end_headers()
                self.wfile.write(orjson.dumps(body))

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def settings(self, symbols: str) -> Settings:
        return load_settings(symbols=symbols, kraken_rest_url=self.url)


@pytest.fixture
def kraken() -> Iterator[Kraken]:
    served = Kraken()
    thread = threading.Thread(target=served.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.server.shutdown()
    thread.join()
    served.server.server_close()


def test_listed_symbols_are_none_of_a_fault(kraken: Kraken) -> None:
    require_listed(kraken.settings("kraken:BTC/USD"))


def test_a_symbol_that_is_not_listed_is_named_as_by_producers(kraken: Kraken) -> None:
    with pytest.raises(UnknownSymbol) as caught:
        require_listed(kraken.settings("kraken:BTC/USD,kraken:FOO/BAR"))
    assert str(caught.value).startswith("SYMBOLS: kraken: 'FOO/BAR' is not a pair of Kraken; ")


@pytest.mark.parametrize(
    "answer",
    [
        (403, {}),
        (429, {}),
        (200, {"error": ["EAPI:Rate limit exceeded"]}),
        (200, {"error": [], "result": {"XXBTZUSD": {**BITCOIN, "pair_decimals": "?"}}}),
    ],
)
def test_an_exchange_that_does_not_say_refuses_nothing(kraken: Kraken, answer: tuple[int, Any]) -> None:
    kraken.answer = lambda _: answer
    require_listed(kraken.settings("kraken:BTC/USD"))


def test_a_run_of_a_symbol_that_is_not_listed_starts_nothing(
    kraken: Kraken,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KRAKEN_REST_URL", kraken.url)
    words = ["--source", "live", "--symbols", "kraken:FOO/BAR", "--broker", "memory", "--no-ui"]
    assert main(["run", *words]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: SYMBOLS: kraken: 'FOO/BAR' is not a pair of Kraken; ")
    assert "broker" not in said.out and list(tmp_path.iterdir()) == []
