"""No client of ours goes where a server sends it: those of the exchange, the store, the webhook."""

from __future__ import annotations

import asyncio
import urllib.error
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from consumers.stores.influxdb_session import InfluxSession
from cryptostream.doctor import exchange as doctor
from cryptostream.run.source import get_json
from influxdb.provision.backup import _Server
from pipelines.snapshots.alerts import Message, send
from producers.connection import open_connection
from producers.exchanges.binance.exchange import BINANCE
from producers.exchanges.binance.rest import BinanceRest
from shared.errors import CryptoStreamError
from shared.proxies import direct
from shared.redirects import target
from shared.settings import Settings
from tests.builders import NOW_MS, plan
from tests.security.redirecting import KINDS, WAYS, Trap

SECRET = "token-of-the-user"


@pytest.fixture
def trap() -> Iterator[Trap]:
    with Trap().running() as running:
        yield running


def _exchange(url: str) -> None:
    async def ask() -> None:
        rest = BinanceRest(url, url, lambda: NOW_MS, lambda *_: None)
        try:
            await rest.statuses(["BTCUSDC"])
        finally:
            await rest.close()

    asyncio.run(ask())


def _influx(url: str) -> InfluxSession:
    return InfluxSession(Settings(_env_file=None, influx_url=url, influx_token=SecretStr(SECRET)))


def _write(url: str) -> None:
    answer = _influx(url).write("ticks", b"a b=1 1")
    raise CryptoStreamError(answer.described())


def _query(url: str) -> None:
    (answer,) = _influx(url).query("buckets()")
    assert not isinstance(answer, dict)
    raise CryptoStreamError(answer.described())


def _direct(url: str) -> None:
    try:
        direct().open(f"{url}/ready", timeout=5)
    except urllib.error.HTTPError as error:
        error.close()
        raise CryptoStreamError(f"sends on to {target(error.headers['Location'])} ({error.code})") from None


CLIENTS: dict[str, Callable[[str], Any]] = {
    "the exchange's REST": _exchange,
    "a run's questions": lambda url: get_json(f"{url}/api/v3/time", 5.0),
    "doctor's": lambda url: asyncio.run(doctor._rest(BINANCE, Settings(binance_rest_url=url))),
    "the stream": lambda url: asyncio.run(open_connection(plan(url.replace("http", "ws")))),
    "points written": _write,
    "points read": _query,
    "a backup": lambda url: _Server(url, SECRET).accepts(),
    "the webhook": lambda url: asyncio.run(send(f"{url}/hook", [Message("problem", "k", "text", 0)])),
    "servers of this machine": _direct,
}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_a_redirect_is_told_and_not_followed(client: Callable[[str], Any], trap: Trap) -> None:
    for way in WAYS:
        for status in KINDS:
            trap.send_on(status, way)
            with pytest.raises(CryptoStreamError) as refused:
                client(trap.url)
            text = str(refused.value)
            assert trap.asked, "the server that was named was not even asked"
            assert "\x1b" not in text and "\n" not in text and SECRET not in text
            if client is CLIENTS["the stream"] and "escape" in way:
                continue  # whose library takes that for no answer at all
            assert str(status) in text and ("/trap" in text or client is CLIENTS["the webhook"]), text
    assert trap.reached == []


def test_a_webhook_sends_no_secret_of_its_own_path_to_a_screen(trap: Trap) -> None:
    with pytest.raises(CryptoStreamError) as refused:
        CLIENTS["the webhook"](trap.url)
    assert "/trap" not in str(refused.value) and "127.0.0.1" in str(refused.value)
