"""Live, simulated or recorded: the choice and its reason."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from cryptostream.processes.server import free_port
from cryptostream.run.options import RunOptions, add_arguments, read_options
from cryptostream.run.source import (
    SourceChoice,
    choose_source,
    get_json,
    of_recordings,
    probe_exchange,
    probe_exchanges,
)
from shared.errors import ExchangeUnavailable, UsageError
from shared.settings import load_settings


def options(*words: str) -> RunOptions:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return read_options(parser.parse_args(words))


def unasked() -> None:
    raise AssertionError("no probe is needed")


def test_auto_takes_binance_where_it_answers() -> None:
    assert choose_source(options(), lambda: None, ["Binance"]) == SourceChoice("live", "Binance answers")


def test_auto_takes_the_simulator_otherwise_and_says_why() -> None:
    assert choose_source(options(), lambda: "no route", ["Binance"]) == SourceChoice("simulator", "no route")


def test_live_without_network_is_an_error_with_the_way_out() -> None:
    with pytest.raises(ExchangeUnavailable, match="no route; check the network, or take --source simulator"):
        choose_source(options("--source", "live"), lambda: "no route", ["Binance"])


def test_the_simulator_and_recordings_need_no_network(tmp_path: Path) -> None:
    (tmp_path / "a.gz").touch()
    assert choose_source(options("--source", "simulator"), unasked, ["Binance"]).kind == "simulator"
    replay = choose_source(options("--source", str(tmp_path / "a.gz")), unasked, ["Binance"])
    assert replay == SourceChoice("replay", "1 recording")


@pytest.fixture
def exchange() -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = 451 if "forbidden" in self.path else 200
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"<html>" if "page" in self.path else b"{}")

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_probe_asks_the_configured_host(exchange: str) -> None:
    assert probe_exchange(load_settings(binance_rest_url=exchange)) is None
    refused = probe_exchange(load_settings(binance_rest_url=f"{exchange}/forbidden"))
    assert refused is not None and "HTTP 451" in refused


def test_every_exchange_of_the_deployment_has_to_answer(exchange: str) -> None:
    settings = load_settings(
        symbols="BTCUSDC,kraken:BTC/USD", binance_rest_url=exchange, kraken_rest_url=exchange
    )
    assert probe_exchanges(settings) is None
    refused = probe_exchanges(settings.model_copy(update={"kraken_rest_url": f"{exchange}/forbidden"}))
    assert refused is not None and "/forbidden" in refused


def test_all_exchanges_that_answer_are_named() -> None:
    choice = choose_source(options(), lambda: None, ["Binance", "Kraken", "Coinbase"])
    assert choice == SourceChoice("live", "Binance, Kraken and Coinbase answer")


def test_recordings_are_of_one_exchange_whatever_else_is_deployed() -> None:
    several = load_settings(symbols="kraken:BTC/USD,BTCUSDC")
    assert of_recordings(several, None).markets == load_settings(symbols="BTCUSDC").markets
    none_of_it = of_recordings(load_settings(symbols="kraken:BTC/USD"), None)
    assert none_of_it.exchanges == ("binance",) and none_of_it.symbols == ()
    with pytest.raises(UsageError, match="--symbols kraken:BTC/USD: recordings are of Binance"):
        of_recordings(several, "kraken:BTC/USD,BTCUSDC")


def test_a_refused_connection_and_a_foreign_page_are_told_in_one_line(exchange: str) -> None:
    with pytest.raises(ExchangeUnavailable, match=r"cannot be reached \(Connection refused\)"):
        get_json(f"http://127.0.0.1:{free_port()}/x", 2.0)
    with pytest.raises(ExchangeUnavailable, match="cannot be used"):
        get_json(f"{exchange}/page", 2.0)
