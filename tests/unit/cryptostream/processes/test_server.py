"""Ports for servers that we start."""

from __future__ import annotations

import socket

import pytest

from cryptostream.processes import server
from cryptostream.processes.server import EngineUnavailable, free_port

_GIVEN_TO_CLIENTS = 32_768  # and those above, by default on Linux; elsewhere from 49,152


def test_a_free_port_is_none_that_a_system_gives_to_a_client() -> None:
    assert max(free_port() for _ in range(100)) < _GIVEN_TO_CLIENTS


def test_a_port_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        monkeypatch.setattr(server, "_PORTS", range(port, port + 1))
        monkeypatch.setattr(server, "_TRIES", 1)
        with pytest.raises(EngineUnavailable, match="no port between"):
            free_port()
    assert free_port() == port
