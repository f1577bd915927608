from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from cryptostream.snapshots.prefect_server import ServerUnavailable, answers_anybody


@contextmanager
def server(status: int) -> Iterator[str]:
    """A server that gives everybody this status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing goes to the tests' output."""

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}/api"
        finally:
            listening.shutdown()
            thread.join()


def test_a_server_that_answers_without_a_login_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with server(200) as address:
        assert answers_anybody(address)
    for status in (401, 403, 500):
        with server(status) as address:
            assert not answers_anybody(address)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/api", "http://:::/api", "no address"])
def test_one_that_is_not_there_is_left_to_who_asks_next(address: str) -> None:
    assert not answers_anybody(address)


def test_a_refused_login_is_told_from_a_server_that_is_away() -> None:
    refused = Exception("Client error '401 Unauthorized'")
    refused.response = SimpleNamespace(status_code=401)  # type: ignore[attr-defined]
    assert "refuses our login; set PREFECT_API_AUTH_STRING" in str(
        ServerUnavailable("http://host/api", refused)
    )
    assert "does not answer (gone); is it up?" in str(ServerUnavailable("http://host/api", Exception("gone")))
