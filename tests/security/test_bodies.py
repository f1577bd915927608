"""Answers too long for the memory of what asks: they are cut, packed or not, and told."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cryptostream.doctor import exchange as doctor
from cryptostream.run.source import get_json
from producers.exchanges.binance.exchange import BINANCE
from producers.exchanges.binance.rest import BinanceRest
from shared.errors import ExchangeUnavailable
from shared.settings import Settings
from tests.builders import NOW_MS
from tests.conftest import ROOT

ENDLESS = 2**30
MIB = 2**20


@contextmanager
def answering(encoding: str) -> Iterator[str]:
    """A server whose answer has a gigabyte, or becomes one when it is unpacked."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if encoding != "identity":
                self.send_header("Content-Encoding", encoding)
            self.end_headers()
            packer = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
            try:
                for _ in range(ENDLESS // MIB):
                    piece = b" " * MIB
                    self.wfile.write(piece if encoding == "identity" else packer.compress(piece))
            except OSError:
                return  # the other side has had enough

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


async def _rest(url: str) -> None:
    rest = BinanceRest(url, url, lambda: NOW_MS, lambda *_: None)
    try:
        await rest._send(f"{url}/api/v3/time", {})
    finally:
        await rest.close()


@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate"])
def test_a_gigabyte_is_neither_read_nor_unpacked(encoding: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with answering(encoding) as url:
        with pytest.raises(Exception, match="more than 2,097,152 bytes"):
            asyncio.run(_rest(url))
        with pytest.raises(ExchangeUnavailable, match="more than 2,097,152 bytes"):
            get_json(f"{url}/api/v3/time", 5.0)
        with pytest.raises(ExchangeUnavailable, match="more than 2,097,152 bytes"):
            asyncio.run(doctor._rest(BINANCE, Settings(_env_file=None, binance_rest_url=url)))
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 64 * 1024


def test_a_delisted_symbol_costs_no_memory() -> None:
    """A producer's client, by itself, at an exchange of 3,000 symbols of 6 kB each."""
    script = """
import asyncio, resource
from producers.exchanges.binance.rest import BinanceRest
from tests.security.full_exchange import serving

async def main():
    async with serving(3_000) as (url, exchange):
        rest = BinanceRest(url, url, lambda: 0, lambda *_: None)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = await rest.listed_statuses(["S1USDC", "GONEUSDC", "S2USDC"])
        await rest.close()
        assert sorted(found) == ["S1USDC", "S2USDC"], found
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, exchange.longest)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    grown_kib, longest = map(int, done.stdout.split())
    assert grown_kib < 16 * 1024
    assert longest < 100_000
