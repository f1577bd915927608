"""The network of the simulated world: listeners by port, and connections with seeded latency.

Errors are those of the operating system: `ConnectionRefusedError` where nobody listens,
`ConnectionResetError` where the other side is gone.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.simulation.loop import OWNER, Owner, VirtualLoop
from tests.simulation.transport import HOST, Address, SimulatedSocket, Transport

_FIRST_FREE_PORT: Final = 20_000
_FIRST_CLIENT_PORT: Final = 40_000
_ANY: Final = (None, "", "0.0.0.0", "::")
# What a kernel takes to end the connections of a process that was killed, seconds.
_MOST_AFTER_DEATH_S: Final = 0.05

Factory = Callable[[], asyncio.BaseProtocol]


@dataclass(frozen=True, slots=True)
class Weather:
    """How the network behaves.

    Attributes:
        least_s, most_s: bounds of the latency of a connection, one way.
        jitter_s: greatest addition, drawn for each burst of bytes.
        split: share of the bursts that arrive in two pieces.
    """

    least_s: float = 0.000_2
    most_s: float = 0.004
    jitter_s: float = 0.002
    split: float = 0.02


class Server(asyncio.AbstractServer):
    """A listener.

    Attributes:
        owner: the process that listens.
        sockets: one, with the address.
    """

    def __init__(self, network: Network, factory: Factory, address: Address) -> None:
        self._network = network
        self._address = address
        self.factory = factory
        self.owner = OWNER.get()
        self.context = contextvars.copy_context()
        self.sockets: tuple[SimulatedSocket, ...] = (SimulatedSocket(address, None),)

    def close(self) -> None:
        self._network.forget(self._address[1])
        self.sockets = ()

    def is_serving(self) -> bool:
        return bool(self.sockets)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._network.loop

    async def start_serving(self) -> None:
        """It serves from the beginning."""

    async def serve_forever(self) -> None:
        await self._network.loop.create_future()

    async def wait_closed(self) -> None:
        """Connections that are open stay so."""


class Network:
    """All listeners and connections; give it to its loop.

    Attributes:
        weather: of connections that begin from now on.
    """

    def __init__(self, loop: VirtualLoop, weather: Weather | None = None) -> None:
        self.loop = loop
        self.weather = weather or Weather()
        self.random = loop.random
        loop.network = self
        self._servers: dict[int, Server] = {}
        self._connected: dict[socket.socket, Transport] = {}
        self._transports: dict[int, Transport] = {}
        self._ports = _FIRST_FREE_PORT
        self._client_ports = _FIRST_CLIENT_PORT
        self._made = 0
        self._held_until_s: dict[int, float] = {}  # by owner's number

    def next_number(self) -> int:
        """Of the next transport."""
        self._made += 1
        return self._made

    # -- listening and connecting ----------------------------------------------------------------------

    def listen(self, factory: Factory, host: str | None, port: int) -> Server:
        """Listen on a port, 0 for a free one.

        Raises:
            OSError: the port is taken.
        """
        if not port:
            self._ports += 1
            port = self._ports
        if port in self._servers:
            text = f"error while attempting to bind on address ('{host}', {port}): address already in use"
            raise OSError(errno.EADDRINUSE, text)
        server = self._servers[port] = Server(self, factory, (HOST if host in _ANY else str(host), port))
        return server

    def forget(self, port: int) -> None:
        """Nobody listens on a port any more."""
        self._servers.pop(port, None)

    async def resolve(
        self, host: str | None, port: int | None
    ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        """The addresses of a name: of this machine alone."""
        if host not in (*_ANY, "localhost") and not str(host).startswith("127."):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        address = (HOST, port or 0)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)]

    async def connect(self, address: Any) -> Transport:
        """Connect to a listener; our side of the connection, still without a protocol.

        Raises:
            ConnectionRefusedError: nobody listens.
        """
        self._client_ports += 1
        port = address[1]
        latency_s = self.random.uniform(self.weather.least_s, self.weather.most_s)
        ours = Transport(self, (HOST, self._client_ports), (HOST, port), latency_s)
        answer: asyncio.Future[bool] = self.loop.create_future()
        # The request travels in nobody's context: a server that dies meanwhile still refuses.
        nobody = contextvars.Context()
        ours.held_until_s = self._held_until_s.get(OWNER.get().number, 0.0)
        arrives_s = max(self.loop.now_s + latency_s, ours.held_until_s)
        self.loop.call_at(arrives_s, self._arrive, ours, port, answer, context=nobody)
        try:
            accepted = await answer
        except asyncio.CancelledError:
            ours.abort()
            raise
        if not accepted:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed {address!r}")
        return ours

    def _arrive(self, ours: Transport, port: int, answer: asyncio.Future[bool]) -> None:
        server = self._servers.get(port) if ours.owner.alive else None
        held_s = 0.0 if server is None else self._held_until_s.get(server.owner.number, 0.0)
        if held_s > self.loop.now_s:
            self.loop.call_at(held_s, self._arrive, ours, port, answer)
            return
        if server is not None and not ours.is_closing():
            theirs = Transport(self, (HOST, port), ours.local, ours.latency_s)
            theirs.context = server.context
            theirs.owner = server.owner
            ours.join(theirs)
            self._adopt(ours)
            self._adopt(theirs)
            self.loop.call_soon(self._accept, theirs, server, context=server.context)
        self.loop.call_later(ours.latency_s, _tell, answer, server is not None)

    def _accept(self, theirs: Transport, server: Server) -> None:
        self.open(server.factory, theirs)

    def _adopt(self, transport: Transport) -> None:
        self._transports[transport.number] = transport

    def abandoned(self, transport: Transport) -> None:
        """A transport has ended."""
        self._transports.pop(transport.number, None)

    def open(self, factory: Factory, transport: Transport) -> tuple[Transport, asyncio.BaseProtocol]:
        """Give a connection its protocol."""
        protocol = factory()
        transport.begin(protocol)
        return transport, protocol

    def give(self, sock: socket.socket, transport: Transport) -> None:
        """Remember to which connection a real socket, which is never used, belongs."""
        self._connected[sock] = transport

    def take(self, sock: socket.socket) -> Transport:
        """The connection of a real socket, which is closed."""
        transport = self._connected.pop(sock)
        sock.close()
        return transport

    # -- faults ----------------------------------------------------------------------------------------

    def break_connections(self, owner: Owner) -> int:
        """Reset all connections of a process, as a router does that forgets them; their number."""
        struck = self._of(owner)
        for transport in struck:
            transport.break_off()
        return len(struck)

    def hold(self, owner: Owner, seconds: float) -> None:
        """Nothing reaches or leaves a process for some time; then everything arrives in its order."""
        until_s = self._held_until_s[owner.number] = self.loop.now_s + seconds
        for transport in self._of(owner):
            transport.hold_until(until_s)

    def release(self, owner: Owner) -> None:
        """End what a process that has died had: its ports at once, its connections soon after."""
        for server in [server for server in self._servers.values() if server.owner is owner]:
            server.close()
        for transport in self._of(owner):
            delay_s = self.random.uniform(0.0, _MOST_AFTER_DEATH_S)
            transport.die(delay_s, reset=self.random.random() < 0.5)

    def _of(self, owner: Owner) -> list[Transport]:
        return [each for each in self._transports.values() if each.owner is owner]


def _tell(answer: asyncio.Future[bool], accepted: bool) -> None:
    if not answer.done():
        answer.set_result(accepted)
