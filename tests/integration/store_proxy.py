"""An HTTP proxy in front of a real InfluxDB that misbehaves as told, and counts how often it did."""

from __future__ import annotations

import gzip
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson
import urllib3

SILENT = "no answer"
CUT = "cut before the store had it"
CUT_AFTER_COMMIT = "cut after the store had it"
SLOW = "slow"
TOO_LARGE = "413"
LARGEST_LINES = 300
SLOW_S = 1.0
_CODES = {"400": "invalid", "422": "unprocessable entity", "401": "unauthorized", "404": "not found"}


class StoreProxy:
    """Forwards every request, unless `fault` says otherwise.

    Attributes:
        fault: what happens to requests from now on; a status in digits is answered without forwarding.
        bad: with fault 400 or 422, whether a line is to blame; requests without such lines are forwarded.
        fired: how often each fault met a request.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._http = urllib3.PoolManager(retries=False)
        self._connections: set[socket.socket] = set()
        self._released = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.fault: str | None = None
        self.bad: Callable[[str], bool] = lambda _: True
        self.fired: Counter[str] = Counter()
        self.listen()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def listen(self) -> None:
        """Accept connections, again on the same port after `refuse`."""
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def refuse(self) -> None:
        """Refuse connections, and cut those that are open."""
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def recover(self) -> None:
        """Forward again; requests left without an answer stay without one."""
        self.fault = None
        self._released.set()
        self._released = threading.Event()

    def close(self) -> None:
        self.recover()
        self.refuse()

    def forward(self, request: BaseHTTPRequestHandler, body: bytes) -> urllib3.BaseHTTPResponse:
        headers = {name: value for name, value in request.headers.items() if name != "Host"}
        return self._http.request(request.command, self._target + request.path, body=body, headers=headers)

    def hold(self) -> None:
        self._released.wait(60)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: StoreProxy

    def setup(self) -> None:
        super().setup()
        self.owner._connections.add(self.connection)

    def finish(self) -> None:
        self.owner._connections.discard(self.connection)
        with suppress(OSError):  # the other side is gone, as the fault wanted it
            super().finish()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        zipped = self.headers.get("Content-Encoding") == "gzip"
        lines = (gzip.decompress(body) if zipped else body).decode().split("\n")
        with suppress(OSError):
            self._answer(self._fault(lines), body)

    def _fault(self, lines: list[str]) -> str | None:
        fault = self.owner.fault
        if fault == TOO_LARGE and len(lines) <= LARGEST_LINES:
            return None
        if fault in ("400", "422") and not any(map(self.owner.bad, lines)):
            return None
        if fault is not None:
            self.owner.fired[fault] += 1
        return fault

    def _answer(self, fault: str | None, body: bytes) -> None:
        if fault == SILENT:
            self.owner.hold()
            self.close_connection = True
        elif fault == CUT:
            self._cut(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart")
        elif fault == CUT_AFTER_COMMIT:
            self.owner.forward(self, body)
            self._cut(b"HTTP/1.1 20")
        elif fault is None or fault == SLOW:
            answer = self.owner.forward(self, body)
            if fault == SLOW:
                self.owner._released.wait(SLOW_S)
            self._send(answer.status, answer.data)
        else:
            message = {"code": _CODES.get(fault, "internal error"), "message": f"a scripted {fault}"}
            self._send(int(fault), orjson.dumps(message))

    def _cut(self, beginning: bytes) -> None:
        self.wfile.write(beginning)
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "1")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
