"""One rule for every connection: which goes through a proxy, which never does, which proxy is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from cryptostream.engines.influxdb import _answers
from cryptostream.processes.server import free_port
from cryptostream.run.source import get_json, probe_exchange
from pipelines.snapshots.quiet import quiet
from producers.connection import open_connection
from producers.exchanges.binance.rest import BinanceRest
from shared.errors import ExchangeUnavailable, SettingsError
from shared.proxies import proxy_for
from shared.settings import load_settings
from tests.builders import plan
from tests.unit.shared.proxied import VARIABLES, answering

EXCHANGE = "https://data-api.binance.vision"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("url", "given", "expected"),
    [
        (EXCHANGE, {}, None),
        (EXCHANGE, {"https_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        (EXCHANGE, {"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        (EXCHANGE, {"ALL_PROXY": "proxy:3128"}, "http://proxy:3128"),
        (EXCHANGE, {"http_proxy": "http://proxy:3128"}, None),
        (EXCHANGE, {"all_proxy": "http://other", "https_proxy": "http://proxy"}, "http://proxy"),
        (EXCHANGE, {"https_proxy": "", "HTTPS_PROXY": "http://proxy"}, None),
        ("wss://stream.binance.com:9443", {"https_proxy": "http://proxy"}, "http://proxy"),
        ("ws://exchange.example", {"http_proxy": "http://proxy"}, "http://proxy"),
        (EXCHANGE, {"https_proxy": "http://proxy", "no_proxy": "*"}, None),
        (EXCHANGE, {"https_proxy": "http://proxy", "NO_PROXY": "example.org, binance.vision"}, None),
        (EXCHANGE, {"https_proxy": "http://proxy", "no_proxy": ".binance.vision"}, None),
        (EXCHANGE, {"https_proxy": "http://proxy", "no_proxy": "binance.vision:443"}, None),
        (EXCHANGE, {"https_proxy": "http://proxy", "no_proxy": "binance.vision:80"}, "http://proxy"),
        (EXCHANGE, {"https_proxy": "http://proxy", "no_proxy": "nance.vision"}, "http://proxy"),
        ("http://10.1.2.3:9", {"http_proxy": "http://proxy", "no_proxy": "10.0.0.0/8"}, None),
        ("http://10.1.2.3:9", {"http_proxy": "http://proxy", "no_proxy": "11.0.0.0/8"}, "http://proxy"),
        ("http://[fd00::1]:9", {"http_proxy": "http://proxy", "no_proxy": "fd00::/8"}, None),
        ("http://[fd00::1]:9", {"http_proxy": "http://proxy", "no_proxy": "[fd00::1]:9"}, None),
        *(
            (f"{scheme}://{host}:8086", {"all_proxy": "http://proxy", "http_proxy": "http://proxy"}, None)
            for scheme in ("http", "https", "ws", "wss")
            for host in ("127.0.0.1", "127.9.9.9", "localhost", "LocalHost.", "[::1]", "0.0.0.0", "influxdb")
        ),
    ],
)
def test_the_rule(url: str, given: dict[str, str], expected: str | None) -> None:
    assert proxy_for(url, given) == expected


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("socks5://proxy:1080", "is a SOCKS proxy"),
        ("socks5h://user:s3cret@proxy:1080", "is a SOCKS proxy"),
        ("ftp://proxy:21", "begins with neither"),
        ("http://proxy:99999", "has no port"),
        ("http://proxy:port", "has no port"),
        ("http://proxy:0", "port 0"),
        ("http://", "has no host"),
        ("http://[::1", "wrong host"),
        ("http://a proxy", "a space"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_one_clear_line(address: str, fault: str) -> None:
    with pytest.raises(SettingsError) as caught:
        proxy_for(EXCHANGE, {"HTTPS_PROXY": address})
    text = str(caught.value)
    assert text.startswith("HTTPS_PROXY: ")
    assert fault in text
    assert "NO_PROXY" in text
    assert "s3cret" not in text
    # Nobody asks for it where it is not used.
    assert proxy_for("http://127.0.0.1:1", {"HTTPS_PROXY": address, "http_proxy": address}) is None


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "socks5://127.0.0.1:1"])
def test_local_connections_take_no_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy)

    async def stream() -> None:
        async def one(connection: ServerConnection) -> None:
            await connection.wait_closed()

        async with serve(one, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            connection = await open_connection(plan(f"ws://127.0.0.1:{port}"))
            await connection.close()

    asyncio.run(stream())
    with answering(b'{"serverTime": 5}') as (port, seen):
        assert get_json(f"http://127.0.0.1:{port}/x", 2.0) == {"serverTime": 5}
        assert _answers(port)
        assert asyncio.run(_time(f"http://127.0.0.1:{port}")) == 5
        assert seen == ["GET /x", "GET /ready", "GET /api/v3/time"]


def test_rest_stream_and_probe_take_the_same_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(b'{"serverTime": 5}') as (port, seen):
        monkeypatch.setenv("HTTP_PROXY", f"http://user:s3cret@127.0.0.1:{port}")
        assert asyncio.run(_time("http://exchange.example")) == 5
        assert get_json("http://exchange.example/api/v3/ping", 2.0) == {"serverTime": 5}
        with pytest.raises(ExchangeUnavailable) as caught:
            asyncio.run(open_connection(plan()))
    assert seen == [
        "GET http://exchange.example/api/v3/time",
        "GET http://exchange.example/api/v3/ping",
        "CONNECT exchange.example:80",
    ]
    assert "s3cret" not in str(caught.value)


def test_an_unusable_proxy_ends_the_search_for_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(SettingsError, match=r"https_proxy: .* SOCKS"):
        probe_exchange(load_settings(binance_rest_url=f"http://127.0.0.1:{free_port()}"))


def test_libraries_are_told_the_same_rule() -> None:
    given = {"https_proxy": "http://proxy:3128", "NO_PROXY": "example.org"}
    quiet(given)
    assert given["no_proxy"] == given["NO_PROXY"] == "example.org,localhost,127.0.0.1,::1"
    with pytest.raises(SettingsError, match=r"all_proxy: .* SOCKS"):
        quiet({"all_proxy": "socks5://proxy"})


async def _time(url: str) -> int:
    async with _rest(url) as rest:
        return await rest.time_ms()


@asynccontextmanager
async def _rest(url: str) -> AsyncIterator[BinanceRest]:
    rest = BinanceRest(url, url, lambda: 0, lambda *_: None)
    try:
        yield rest
    finally:
        await rest.close()
