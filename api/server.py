"""The HTTP server: its port, its limits, an orderly end within seconds."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing, contextmanager
from http import HTTPStatus
from typing import Any, Final

import h11
import orjson
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.problems import MEDIA_TYPE, Problem
from api.security import HEAD_BYTES, no_place
from api.seldom import Seldom
from shared.command import stop_signals
from shared.errors import SettingsError
from shared.metrics import METRICS_PERIOD_S
from shared.settings import Settings

log: Final = logging.getLogger(__name__)

# Requests get so long to end after a stop signal; then they are cut.
GRACE_S: Final = 2
CLOSE_S: Final = 1.5
_BACKLOG: Final = 128
# A head comes whole within it, or the connection's place is for others.
HEAD_S: Final = 10.0
_NO_REQUEST: Final = f"request: is not HTTP/1.1, or its head is longer than {HEAD_BYTES:,} bytes; send less"
_MESSAGE_BYTES: Final = 65_536
_PING_S: Final = 15.0
# Requests besides viewers.
_OTHERS: Final = 64
# Whoever connects can make these write.
_CAUSED_BY_OTHERS: Final = (
    "uvicorn.error",
    "api.security",
    "api.socket",
    "consumers.tap.keyed",
    "consumers.tap.stored",
)

Beside = Callable[[], Coroutine[Any, Any, None]]


def listening_socket(settings: Settings) -> socket.socket:
    """A socket on `API_HOST` and `API_PORT`; port 0 takes a free one.

    Raises:
        SettingsError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.api_host, settings.api_port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _unusable(settings, error) from None
    return listener


def _unusable(settings: Settings, error: OSError) -> SettingsError:
    if error.errno == errno.EADDRNOTAVAIL:
        return SettingsError(f"API_HOST: {settings.api_host} is no address of this machine; name one that is")
    why = (
        "is taken by another program"
        if error.errno == errno.EADDRINUSE
        else f"cannot be used ({error.strerror})"
    )
    return SettingsError(f"API_PORT: {settings.api_port} {why}; name another one, or 0 for a free one")


def address_of(listener: socket.socket) -> str:
    """The URL of a listening socket, for a browser on this machine."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"


def serve(
    app: ASGIApp,
    beside: Beside | None,
    settings: Settings,
    listener: socket.socket,
    beat: Callable[[], None],
    *,
    page: bool,
) -> None:
    """Serve until a stop signal. Prints where, as an event on standard output.

    Args:
        beat: called in the loop each second.
        page: whether there is a page to see.
        beside: runs in the server's event loop; cancelled after the last request. If it ends before, so does
            the server, with its error.
    """
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=WholeHeads,
        ws="websockets-sansio",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=settings.api_clients + _OTHERS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=GRACE_S,
        h11_max_incomplete_event_size=HEAD_BYTES,
        ws_max_size=_MESSAGE_BYTES,
        ws_ping_interval=_PING_S,
        ws_ping_timeout=_PING_S,
        ws_per_message_deflate=False,
    )
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
    server = _Server(config, address_of(listener), page=page)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_run(server, beside, listener, beat))
    log.info("stopped")


async def _run(
    server: _Server, beside: Beside | None, listener: socket.socket, beat: Callable[[], None]
) -> None:
    with (
        _stopped_by_signals(asyncio.get_running_loop(), server),
        closing(Seldom(*_CAUSED_BY_OTHERS)) as seldom,
    ):
        tasks = [asyncio.ensure_future(_beating(beat, seldom))]
        if beside is not None:
            tasks.append(asyncio.ensure_future(beside()))
        for task in tasks:
            task.add_done_callback(lambda _task: server.stop())
        try:
            await server.serve(sockets=[listener])
        finally:
            await _end(tasks)


async def _end(tasks: Sequence[asyncio.Future[None]]) -> None:
    """Cancel what runs beside the server; raise the error of what has ended before."""
    ended = [task for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    # A broker that does not answer must not keep the process.
    await asyncio.wait(tasks, timeout=CLOSE_S)
    for task in ended:
        task.result()


async def _beating(beat: Callable[[], None], seldom: Seldom) -> None:
    while True:
        beat()
        seldom.tell()
        await asyncio.sleep(METRICS_PERIOD_S)


@contextmanager
def _stopped_by_signals(loop: asyncio.AbstractEventLoop, server: _Server) -> Iterator[None]:
    numbers = stop_signals()
    for number in numbers:
        loop.add_signal_handler(number, server.stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


class WholeHeads(H11Protocol):
    """HTTP with a limit of time for the head of a request, which uvicorn has not.

    A client that sends it byte by byte, or never, would keep its place for ever, and some hundred all places.
    """

    _head_due: asyncio.TimerHandle | None = None

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        # Uvicorn's own answer of a full service is no problem (RFC 9457), and does not say when to ask again.
        self._most, self.limit_concurrency = self.limit_concurrency, None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        full = self._most is not None and len(self.connections) >= self._most
        self.app = no_place if full else self.config.loaded_app
        super().data_received(data)
        self._await_head()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - it says less
        problem = Problem(HTTPStatus.BAD_REQUEST, _NO_REQUEST)
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"connection", b"close")]
        for event in (
            h11.Response(status_code=problem.status, headers=headers),
            h11.Data(data=orjson.dumps(problem.body())),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._await_head()

    def _await_head(self) -> None:
        # Once it is a WebSocket, or lost, it is not among the connections.
        if self.conn.their_state is not h11.IDLE or self not in self.connections:
            if self._head_due is not None:
                self._head_due.cancel()
                self._head_due = None
        elif self._head_due is None:
            self._head_due = self.loop.call_later(HEAD_S, self.transport.close)


class _Server(uvicorn.Server):
    """Says where it serves; without uvicorn's own signals, which would end the process by the signal."""

    def __init__(self, config: uvicorn.Config, address: str, *, page: bool) -> None:
        super().__init__(config)
        self._address = address
        self._page = page

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        log.info("serving on %s", self._address)
        event = {"event": "listening", "url": self._address, "page": self._page}
        sys.stdout.write(orjson.dumps(event).decode() + "\n")
        sys.stdout.flush()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """End in order."""
        self.should_exit = True
