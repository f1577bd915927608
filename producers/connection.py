"""Opens WebSocket connections of an exchange, classifies their errors (BINANCE_SPOT.md §2.2, §7.6, §13)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import CloseCode

from producers.exchanges.pacing import Pacer
from producers.exchanges.port import Parser, Plan
from producers.frames import FrameConnection
from producers.stream_lag import StreamLag
from producers.watchdog import Watchdog
from shared.errors import ExchangeRefused, ExchangeUnavailable
from shared.proxies import proxy_for
from shared.redirects import is_redirect, target
from shared.shortened import shortened

_OPEN_TIMEOUT_S: Final = 10.0
_CLOSE_TIMEOUT_S: Final = 2.0
_BLOCK_S: Final = 300.0
_LIMIT_S: Final = 60.0


def pacer_of(plan: Plan) -> Pacer | None:
    """For the messages of all connections of a process: exchanges count them by address."""
    return None if plan.messages_a_second is None else Pacer(plan.messages_a_second, 1)


async def _turn(pacer: Pacer | None) -> None:
    """Wait until the next message may be sent."""
    if pacer is not None:
        await asyncio.sleep(pacer.take(time.monotonic()))


class Connection:
    """An open connection, its age, and the watchdog of its streams.

    Args:
        pacer: the one with which it was opened; None: no other connection shares its pace.

    Attributes:
        plan: what it carries.
        parse: its own parser.
        frames, more: see `FrameConnection`.
        due_s: when to open the next one, by the monotonic clock.
        replace_reason: why it is to be replaced; None while it is not.
        silent: streams that it no longer carries.
        out_of_bounds: by stream, number of frames with ids or times out of bounds.
        lag: how late its books come; of exchanges whose streams bring them whole.
    """

    def __init__(
        self,
        socket: FrameConnection,
        plan: Plan,
        parse: Parser,
        age_s: float,
        pacer: Pacer | None = None,
    ) -> None:
        self._socket = socket
        self.plan = plan
        self.parse = parse
        self._closing: asyncio.Task[None] | None = None
        self._renewals: set[asyncio.Task[None]] = set()
        self._waiting: dict[str, asyncio.Task[None]] = {}  # of them those that have sent nothing, by symbol
        self._renewal_s: dict[str, float] = {}  # when the newest of a symbol is due
        self._pacer = pacer
        own = pacer_of(plan) if pacer is None else None
        if own is not None:
            self._pacer = own
            for _ in plan.opening:
                own.take(time.monotonic())
        self.frames = socket.frames
        self.more = socket.more
        self.opened_s = time.monotonic()
        self.due_s = self.opened_s + age_s
        self.watchdog = Watchdog([stream[:3] for stream in plan.streams], self.opened_s, plan.liveness)
        self.replace_reason: str | None = None
        self.silent: frozenset[tuple[str, str, str | None]] = frozenset()
        self.out_of_bounds: dict[str, int] = {}
        self.lag = StreamLag()
        watched = plan.liveness.acknowledged_s is not None
        # Subscriptions of which the exchange has not said yet that it accepts them.
        self._unacknowledged = {(stream.name, stream.symbol) for stream in plan.streams} if watched else set()

    def acknowledge(self, name: str, symbol: str) -> None:
        """The exchange accepts a subscription, by the stream's name on the wire."""
        self._unacknowledged.discard((name, symbol))

    def unacknowledged(self, now_s: float) -> str | None:
        """Why this connection should be replaced: the exchange has not accepted a subscription in time."""
        within_s = self.plan.liveness.acknowledged_s
        if not self._unacknowledged or within_s is None or now_s - self.opened_s < within_s:
            return None
        name, symbol = min(self._unacknowledged)
        return f"the exchange does not acknowledge the subscription of {symbol} {name}"

    def renew(self, symbol: str, delay_s: float, wanted: Callable[[], bool] = lambda: True) -> None:
        """Ask for the book of a symbol anew, `delay_s` seconds from now.

        Of two requests that have sent nothing the earlier one is left: were it put off, a stream that often
        breaks a book would never have it anew.

        Args:
            wanted: asked when it is due; the former subscription goes on if it is not.
        """

        async def send() -> None:
            await asyncio.sleep(delay_s)
            with suppress(ConnectionClosed):  # whoever reads it notices, and the next one brings a snapshot
                for frame in self.plan.renewals[symbol]:
                    await _turn(self._pacer)
                    if self._waiting.get(symbol) is task:
                        del self._waiting[symbol]
                        if not wanted():
                            return
                    await self._socket.send(frame, text=True)

        due_s = asyncio.get_running_loop().time() + delay_s
        if symbol in self._waiting:
            if self._renewal_s[symbol] <= due_s:
                return
            self._waiting.pop(symbol).cancel()
        self._renewal_s[symbol] = due_s
        task = self._waiting[symbol] = asyncio.create_task(send())
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)

    def close(self) -> asyncio.Task[None]:
        """Begin to close, within some seconds; received frames can still be read."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._socket.close())
        return self._closing

    @property
    def closing(self) -> bool:
        return self._closing is not None

    def drop(self) -> None:
        """Close at once, without a closing handshake."""
        for task in self._renewals:
            task.cancel()
        self._socket.transport.abort()


def why_closed(closed: ConnectionClosed, plan: Plan) -> str:
    """Why a connection ended."""
    if frame_refused(closed):
        return f"connection closed: a frame of more than {plan.max_frame_bytes:,} bytes came"
    frame = closed.rcvd
    return shortened(f"connection closed: {frame.code} {frame.reason}".strip() if frame else closed)


def frame_refused(closed: ConnectionClosed) -> bool:
    """Whether we closed it for a frame that is too long (1009, RFC 6455 §7.4.1)."""
    return (
        closed.sent is not None
        and closed.sent.code == CloseCode.MESSAGE_TOO_BIG
        and not closed.rcvd_then_sent
    )


class _ConnectHere(connect):
    """Follows no redirect to another server."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


async def open_connection(plan: Plan, pacer: Pacer | None = None) -> FrameConnection:
    """Open a connection and subscribe.

    Args:
        pacer: of all connections of this process; None: its messages follow each other at once.

    Raises:
        ExchangeUnavailable: transient, with `retry_after` if the exchange asked for it.
        ExchangeRefused: the exchange does not serve this location.
        SettingsError: the environment names an unusable proxy.
    """
    host = plan.host
    proxy = proxy_for(plan.url)
    # Before it is open: a server may drop a connection that has subscribed to nothing for some seconds.
    await _turn(pacer)
    try:
        connection = await _ConnectHere(
            plan.url,
            create_connection=FrameConnection,
            compression=None,  # exchanges need none, and it would cost more than it saves
            max_size=plan.max_frame_bytes,
            proxy=proxy,
            open_timeout=_OPEN_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
            # Streams are watched by the age of their events; a ping of ours would count against an
            # exchange's limit of frames (BINANCE_SPOT.md §2.3: five a second).
            ping_interval=None,
        )
    except InvalidStatus as error:
        raise _refused(plan, error.response.status_code, error.response.headers.get("Location")) from None
    except (InvalidHandshake, OSError, TimeoutError) as error:
        reason = shortened(error) or type(error).__name__
        raise ExchangeUnavailable(f"{host}: no connection ({reason}); see {plan.setting}") from None
    assert isinstance(connection, FrameConnection)
    try:
        for number, frame in enumerate(plan.opening):
            if number:
                await _turn(pacer)
            await connection.send(frame, text=True)
    except ConnectionClosed as closed:
        raise ExchangeUnavailable(f"{host}: {why_closed(closed, plan)} while subscribing") from None
    return connection


def _refused(plan: Plan, status: int, location: str | None) -> ExchangeUnavailable | ExchangeRefused:
    host, setting = plan.host, plan.setting
    match status:
        case 451:
            return ExchangeRefused(f"{host}: the exchange does not serve this place (451); {plan.place_hint}")
        case 403:
            return ExchangeUnavailable(f"{host}: blocked by the exchange's firewall (403)", _BLOCK_S)
        case 418 | 429:
            return ExchangeUnavailable(f"{host}: too many connections from this IP ({status})", _LIMIT_S)
        case 404:
            path = plan.url.removeprefix(host).partition("?")[0]
            return ExchangeRefused(f"{host}: has no {path} (404); {setting} is scheme and host only")
        case _ if is_redirect(status):
            return ExchangeRefused(
                f"{host}: sends on to {target(location)} ({status}), which is not followed; "
                f"give the exchange's own address by {setting}"
            )
        case _:
            return ExchangeUnavailable(f"{host}: handshake refused ({status})")
