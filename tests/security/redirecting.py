"""A server that sends every request on to another, and that other, which must never be reached."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KINDS = (301, 302, 303, 307, 308)
WAYS = (
    "another port",
    "another port, with an escape",
    "another host",
    "another scheme",
    "a path of its own",
    "no host at all",
)


class Trap:
    """
    Attributes:
        url: the server that was named, and sends on.
        reached: what asked for anything but what was named.
    """

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.asked: list[str] = []
        self.url = ""
        self._status, self._way = 302, WAYS[0]
        self._named = 0
        self._other = 0

    def send_on(self, status: int, way: str) -> None:
        self._status, self._way = status, way
        self.asked.clear()

    @property
    def location(self) -> str:
        match self._way:
            case "another port":
                return f"http://127.0.0.1:{self._other}/trap"
            case "another port, with an escape":
                return f"http://127.0.0.1:{self._other}/trap?\x1b[2J"
            case "another host":
                return f"http://localhost:{self._other}/trap"
            case "another scheme":
                return f"https://127.0.0.1:{self._other}/trap"
            case "a path of its own":
                return "/trap"
            case _:
                return "file:///trap"

    @contextmanager
    def running(self) -> Iterator[Trap]:
        named = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, other=False))
        other = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, other=True))
        self._named, self._other = named.server_port, other.server_port
        self.url = f"http://127.0.0.1:{self._named}"
        for server in (named, other):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield self
        finally:
            for server in (named, other):
                server.shutdown()
                server.server_close()


def _handler(trap: Trap, *, other: bool) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            if other:
                trap.reached.append(f"a connection of {self.client_address}")
            super().handle_one_request()

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            (trap.reached if "/trap" in self.path else trap.asked).append(self.path)
            self.send_response(trap._status)
            location = trap.location
            self.send_header(
                "Location", location.replace("http", "ws") if "/stream" in self.path else location
            )
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do_PUT = _answer  # noqa: N815 - as the library calls them

        def log_message(self, *_: Any) -> None:
            return

    return Handler
