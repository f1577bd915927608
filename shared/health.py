"""Liveness and readiness of a service: `/healthz` and `/readyz` on `METRICS_PORT`."""

from __future__ import annotations

import logging
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

# A loop reports once a second; the longest operation between two reports is a request to the store, which
# times out after 30 s and may be tried twice.
HANGING_S: Final = 90.0
# A loop that is this late is stuck.
LATE_S: Final = 20.0
# Kafka acknowledges within milliseconds; a metrics record is sent each second.
SILENT_BROKER_S: Final = 15.0

_LOG: Final = logging.getLogger(__name__)

Clock = Callable[[], float]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class Health:
    """Health of one service thread's parts. They write, the server's threads read.

    A part without any report counts as ready; the loop counts from its first report on.

    Args:
        clock: seconds, never backwards.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._beat_s = clock()
        self._begun = False
        self._troubles: dict[str, str] = {}

    def beat(self) -> None:
        """The loop has made a turn."""
        self._beat_s = self._clock()
        self._begun = True

    def ready(self, part: str) -> None:
        """Report that a part works."""
        with self._lock:
            self._troubles.pop(part, None)

    def unready(self, part: str, reason: str) -> None:
        """Report why a part does not work; the reason must not contain secrets."""
        with self._lock:
            self._troubles[part] = reason

    def set_ready(self, part: str, good: bool, reason: str) -> None:
        """`ready` if `good`, else `unready` for this reason."""
        if good:
            self.ready(part)
        else:
            self.unready(part, reason)

    def hanging(self) -> str | None:
        """Why the process hangs; None if it does not. A start may wait without limit."""
        if not self._begun:
            return None
        silent_s = self._clock() - self._beat_s
        return f"loop: no turn for {silent_s:.0f} s" if silent_s > HANGING_S else None

    def troubles(self) -> list[str]:
        """Why the service does not work now, one line per part; empty if it does."""
        silent_s = self._clock() - self._beat_s
        with self._lock:
            found = [f"{part}: {reason}" for part, reason in sorted(self._troubles.items())]
        if not self._begun:
            found.append("loop: starting")
        elif silent_s > LATE_S:
            found.append(f"loop: no turn for {silent_s:.0f} s")
        return found


def health_app(health: Health, registry: CollectorRegistry) -> WsgiApp:
    """`/healthz` and `/readyz` (200, or 503 with the reasons), and Prometheus text everywhere else."""
    metrics: WsgiApp = make_wsgi_app(registry)

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        match environ.get("PATH_INFO"):
            case "/healthz":
                hanging = health.hanging()
                return _answer(start_response, [] if hanging is None else [hanging])
            case "/readyz":
                return _answer(start_response, health.troubles())
            case _:
                return metrics(environ, start_response)

    return app


def _answer(start_response: StartResponse, troubles: list[str]) -> Iterable[bytes]:
    body = ("\n".join(troubles or ["ok"]) + "\n").encode()
    start_response(
        "503 Service Unavailable" if troubles else "200 OK",
        [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))],
    )
    return [body]


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log a client that is silent or disconnects at debug level; the default prints a traceback."""
        _LOG.debug("metrics: client dropped (%s)", sys.exception())


class _QuietHandler(WSGIRequestHandler):
    timeout = 10  # a silent client does not keep its thread

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests: each container makes one every ten seconds."""


class _Server6(_Server):
    address_family = socket.AF_INET6


def serve(address: str, port: int, app: WsgiApp) -> WSGIServer:
    """Serve on an address of this machine, in a thread that ends with the process. Raises OSError."""
    kind = _Server6 if ":" in address else _Server
    server = make_server(address, port, app, kind, handler_class=_QuietHandler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
