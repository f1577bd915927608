"""Where a run's page is."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from cryptostream.run.services import Wiring
from cryptostream.run.web import WebPage
from shared.markets import Market
from shared.settings import Settings


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield int(other.getsockname()[1])


def web(said: list[str], **fields: Any) -> WebPage:
    return WebPage(Settings.model_construct(**fields), said.append)


def listening(url: str, *, page: bool = True) -> str:
    return orjson.dumps({"event": "listening", "url": url, "page": page}).decode()


def test_the_page_is_said_once_it_serves_and_keeps_its_port(said: list[str]) -> None:
    page = web(said, api_port=0)
    assert page.choose_port() == 0
    page.on_output("no event")
    page.on_output("[1]")
    assert page.line == ""
    page.on_output(listening("http://127.0.0.1:4711"))
    # It was started again.
    assert page.choose_port() == 4711
    page.on_output(listening("http://127.0.0.1:4711"))
    assert said == [page.line] == ["page: http://127.0.0.1:4711"]


def test_an_api_without_a_page_says_how_to_build_it(said: list[str]) -> None:
    web(said).on_output(listening("http://127.0.0.1:8000", page=False))
    assert said == ["page: http://127.0.0.1:8000 (only its API; `make web` builds the page)"]


def test_a_port_that_the_user_names_and_another_program_has_is_said(said: list[str], taken: int) -> None:
    assert web(said, api_port=taken).choose_port() is None
    assert said == [f"page: none, API_PORT {taken} is taken by another program; name another one"]


def test_the_usual_port_gives_way_to_the_next_free_one(
    said: list[str], taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings.model_fields["api_port"], "default", taken)
    port = web(said, api_port=taken).choose_port()
    assert port == 0 or (port is not None and taken < port < taken + 10)
    assert said == []


def test_its_command_names_the_port_and_reads_what_the_run_stores() -> None:
    wiring = Wiring((Market("binance", "A"), Market("kraken", "B")), ("1m",), True, {"SQLITE_PATH": "/x"})
    command = wiring.api(port=4711, rebuild_from_store=True, metrics_port=None)
    assert command.module == "api"
    assert command.arguments == [
        "--symbols",
        "binance:A,kraken:B",
        "--rebuild-from-store",
        "--intervals",
        "1m",
        "--memory-broker",
    ]
    assert command.environment["API_PORT"] == "4711"
    assert command.environment["SQLITE_PATH"] == "/x"
