"""Viewers of the stream, as the page is one: they acknowledge, merge rows by identity, resume by cursor."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException
from websockets.typing import Subprotocol

_AGAIN_S: Final = 0.2
Request = Mapping[str, Any]
Row = list[Any]


class Viewer:
    """One viewer; it connects again until it is stopped.

    Attributes:
        rows: by subscription, the rows by their time in ms, as the last one of each said.
        columns: by subscription, the names of a row's values.
        restarts: reasons given, by subscription.
        gaps: holes announced, by subscription.
        connections: how often it was connected.
        problems: refusals of the service, and frames that break the protocol.

    Args:
        resume: send the cursors of what was received when connecting again; else ask for the rows from now.
    """

    def __init__(self, url: str, requests: Sequence[Request], *, resume: bool = True) -> None:
        self._url = url
        self._requests = requests
        self._resume = resume
        self._cursors: dict[int, str] = {}
        self._frame = 0
        self.rows: dict[int, dict[int, Row]] = {int(each["id"]): {} for each in requests}
        self.columns: dict[int, list[str]] = {}
        self.restarts: dict[int, list[str]] = {}
        self.gaps: dict[int, list[list[Any]]] = {}
        self.states: dict[int, tuple[str, ...]] = {}
        self.connections = 0
        self.problems: list[str] = []

    async def run(self) -> None:
        """View until cancelled."""
        while True:
            with suppress(OSError, WebSocketException, InvalidHandshake, asyncio.TimeoutError):
                async with connect(
                    self._url, subprotocols=[Subprotocol("cryptostream.v1")], max_size=2**20, open_timeout=60
                ) as socket:
                    await self._view(socket)
            await asyncio.sleep(_AGAIN_S)

    async def _view(self, socket: ClientConnection) -> None:
        self.connections += 1
        self._frame = 0
        await socket.send(
            orjson.dumps({"subscribe": [self._request(each) for each in self._requests]}).decode()
        )
        async for text in socket:
            message = orjson.loads(text)
            self.receive(message)
            if "frame" in message:
                await socket.send(orjson.dumps({"ack": message["frame"]}).decode())

    def _request(self, request: Request) -> Request:
        if cursor := self._cursors.get(request["id"]):
            return {**request, "since": cursor} if self._resume else {**request, "last": 0}
        return request

    def receive(self, message: Mapping[str, Any]) -> None:
        """A message of the service."""
        if "subscribed" in message:
            said = message["subscribed"]
            self.columns[said["id"]] = said["columns"]
            self._gaps(said["id"], said.get("gaps", ()))
        elif "restart" in message:
            self.restarts.setdefault(message["restart"], []).append(message["reason"])
        elif "error" in message:
            self.problems.append(str(message["error"]))
        elif "frame" in message:
            if message["frame"] <= self._frame:
                self.problems.append(f"frame {message['frame']} after {self._frame}")
            self._frame = message["frame"]
            for number, rows in message.get("rows", ()):
                self.rows[number].update((row[0], row) for row in rows)
            for number, *gap in message.get("gaps", ()):
                self._gaps(number, [gap])
            for number, *state in message.get("state", ()):
                self.states[number] = tuple(state)
            self._cursors.update((int(number), at) for number, at in message.get("cursor", {}).items())

    def _gaps(self, number: int, gaps: Sequence[list[Any]]) -> None:
        self.gaps.setdefault(number, []).extend(gaps)


class Viewers:
    """Viewers in a thread of their own; a context manager that ends them."""

    def __init__(self, viewers: Sequence[Viewer]) -> None:
        self.viewers = viewers
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="viewers")
        self._tasks: list[asyncio.Task[None]] = []

    def __enter__(self) -> Viewers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._tasks])
        self._thread.join()

    def _run(self) -> None:
        async def view() -> None:
            self._tasks = [asyncio.ensure_future(viewer.run()) for viewer in self.viewers]
            await asyncio.gather(*self._tasks, return_exceptions=True)

        self._loop.run_until_complete(view())
        self._loop.close()
