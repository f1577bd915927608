"""The port of the API, and its start."""

from __future__ import annotations

import asyncio
import socket
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from api.__main__ import main
from api.security import HEAD_BYTES, Guarded
from api.server import CLOSE_S, GRACE_S, HEAD_S, WholeHeads, address_of, listening_socket
from shared.errors import SettingsError
from shared.settings import Settings
from tests.virtual_time import run_virtually


def settings(**fields: Any) -> Settings:
    return Settings.model_construct(**fields)


def test_port_0_is_a_free_one_and_its_address_is_known() -> None:
    with listening_socket(settings(api_port=0)) as listener:
        assert address_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
    with listening_socket(settings(api_host="0.0.0.0", api_port=0)) as listener:
        assert address_of(listener).startswith("http://127.0.0.1:")


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"API_PORT: {port} is taken by another program"):
            listening_socket(settings(api_port=port))


def test_an_address_of_another_machine_is_one_line() -> None:
    with pytest.raises(SettingsError, match=r"API_HOST: 192\.0\.2\.1 is no address of this machine"):
        listening_socket(settings(api_host="192.0.2.1", api_port=0))


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (
            [],
            {"API_HOST": "0.0.0.0"},
            "API_HOST: 0.0.0.0 is reached by other machines",
        ),
        (
            ["--published-at", "192.168.1.7"],
            {"API_HOST": "0.0.0.0"},
            "BIND_ADDRESS: 192.168.1.7 is",
        ),
        ([], {}, "SQLITE_PATH: not set"),
        (["--rebuild-from-store"], {}, "--rebuild-from-store: a real broker keeps all states"),
        (["--intervals", "7m"], {}, '"7m" is not an interval'),
    ],
)
def test_a_start_that_cannot_be_is_one_line(
    words: list[str],
    environment: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("SQLITE_PATH", "STORE", "API_TOKEN", "API_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error


def test_an_interrupt_while_it_is_being_loaded_ends_it_in_order(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(name: str, *_rest: Any) -> None:
        if name == "api.service":
            raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "api.service", raising=False)
    monkeypatch.setattr(sys, "meta_path", [SimpleNamespace(find_spec=interrupted), *sys.meta_path])
    assert main([]) == 130
    assert capsys.readouterr().err == ""


class _Transport(asyncio.Transport):
    closed = False

    def close(self) -> None:
        self.closed = True

    written = b""

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def pause_reading(self) -> None:
        """The test does not."""

    def resume_reading(self) -> None:
        """As above."""

    def is_closing(self) -> bool:
        return self.closed


async def _nothing(_scope: Any, _receive: Any, _send: Any) -> None:
    await asyncio.sleep(1_000)


@pytest.mark.parametrize(
    ("parts", "kept"),
    [
        ([b""], False),
        ([b"GET / HTTP/1.1\r\n", *[b"a"] * 15], False),
        ([b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"], True),
        ([b"GET / HTTP/1.1\r\n", b"Host: localhost\r\n\r\n"], True),
    ],
    ids=["nothing", "byte by byte", "whole", "in two parts"],
)
def test_who_sends_no_whole_head_loses_the_connection(parts: list[bytes], kept: bool) -> None:
    async def connection() -> bool:
        config = uvicorn.Config(
            _nothing, http=WholeHeads, proxy_headers=False, lifespan="off", log_config=None
        )
        transport = _Transport()
        protocol = WholeHeads(config, ServerState(), {})
        protocol.connection_made(transport)
        for part in parts:
            if part:
                protocol.data_received(part)
            await asyncio.sleep(HEAD_S / 12)
        await asyncio.sleep(HEAD_S)
        return transport.closed

    assert run_virtually(connection()) is not kept


def _answered(parts: list[bytes], app: Any) -> tuple[bytes, bool]:
    """What is answered to packets, and whether the connection was closed."""

    async def connection() -> tuple[bytes, bool]:
        config = uvicorn.Config(
            app,
            http=WholeHeads,
            proxy_headers=False,
            lifespan="off",
            log_config=None,
            h11_max_incomplete_event_size=HEAD_BYTES,
        )
        transport = _Transport()
        protocol = WholeHeads(config, ServerState(), {})
        protocol.connection_made(transport)
        for part in parts:
            if not transport.closed:
                protocol.data_received(part)
            await asyncio.sleep(0.01)
        return transport.written, transport.closed

    return run_virtually(connection())


async def _empty(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def _head(size: int) -> bytes:
    begin, end = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ", b"\r\n\r\n"
    return begin + b"a" * (size - len(begin) - len(end)) + end


@pytest.mark.parametrize("packet", [1_000, HEAD_BYTES, HEAD_BYTES + 1, 200_000])
def test_a_head_of_16_kb_is_read_and_a_longer_one_is_not_however_it_comes(packet: int) -> None:
    app = Guarded(_empty, settings())

    def answered(head: bytes) -> bytes:
        return _answered([head[at : at + packet] for at in range(0, len(head), packet)], app)[0]

    assert answered(_head(HEAD_BYTES)).startswith(b"HTTP/1.1 204")
    for size in (17_000, 20_000, 90_000):
        written = answered(_head(size))
        assert written.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
        assert b"application/problem+json" in written and b"longer than 16,384 bytes" in written
    # Behind another, in the same packet.
    if packet > 90_000:
        assert b"HTTP/1.1 431" in answered(_head(9_000) + _head(20_000))


def test_what_is_no_http_is_a_problem() -> None:
    written, closed = _answered([b"\x16\x03\x01 hello\r\n\r\n"], _empty)
    assert b"application/problem+json" in written and closed


def test_a_service_that_is_full_says_when_to_ask_again() -> None:
    async def connections() -> list[bytes]:
        config = uvicorn.Config(
            _empty, http=WholeHeads, proxy_headers=False, lifespan="off", log_config=None, limit_concurrency=2
        )
        config.load()
        state, transports = ServerState(), [_Transport() for _ in range(2)]
        protocols = [WholeHeads(config, state, {}) for _ in transports]
        for protocol, transport in zip(protocols, transports, strict=True):
            protocol.connection_made(transport)
            protocol.data_received(_head(100))
            await asyncio.sleep(0.01)
        protocols[0].connection_lost(None)
        protocols[1].data_received(_head(100))
        await asyncio.sleep(0.01)
        return [transport.written for transport in transports]

    first, second = run_virtually(connections())
    assert first.startswith(b"HTTP/1.1 204")
    refused, _, accepted = second.partition(b"HTTP/1.1 204")
    assert refused.startswith(b"HTTP/1.1 503") and accepted
    for words in (b"application/problem+json", b"retry-after: 1", b"nosniff", b"all places are taken"):
        assert words in refused


def test_connections_and_the_broker_get_a_few_seconds_at_a_stop() -> None:
    assert GRACE_S + CLOSE_S < 5
