"""The run's client of the simulator: the events on its standard output, and control requests."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any, Final

import orjson

from cryptostream.run.source import get_json

_FREEZE_TIMEOUT_S: Final = 30.0  # everything issued is sent first


class SimulatorClient:
    """State of the simulator; its requests raise ExchangeUnavailable if it does not answer.

    Attributes:
        port: 0 until it listens; a restarted simulator takes the same one.
        replay_finished: the last frame has been sent.
        read: frames and bars of its recordings that it has read so far.

    Args:
        say: receives notes about unreadable parts of a recording.
    """

    def __init__(self, say: Callable[[str], None] = lambda _text: None) -> None:
        self._say = say
        self.port = 0
        self.rest_url = ""
        self.ws_url = ""
        self.replay_finished = False
        self.read = 0
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def on_output(self, line: str) -> None:
        """Take a line of its standard output; called on a reader thread."""
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError:
            return  # only events are JSON
        if isinstance(event, dict):
            self._events.put(event)

    def tick(self, timeout_s: float = 0.0) -> None:
        """Take the next event, if one comes within `timeout_s`."""
        try:
            event = self._events.get(timeout=timeout_s) if timeout_s else self._events.get_nowait()
        except queue.Empty:
            return
        if event.get("event") == "listening":
            self.port, self.rest_url, self.ws_url = event["port"], event["rest_url"], event["ws_url"]
        elif event.get("event") == "replay_finished":
            self.replay_finished = True
        elif event.get("event") == "reading":
            self.read = event["read"]
        elif event.get("event") == "note":
            self._say(f"note: {event['text']}")

    @property
    def listening(self) -> bool:
        return self.port != 0

    def freeze(self) -> None:
        """Stop the market; on return its clients have everything issued."""
        get_json(f"{self.rest_url}/simulator/freeze", _FREEZE_TIMEOUT_S)

    def recorded_symbols(self) -> tuple[str, ...]:
        """The symbols of the recordings; exchangeInfo may list many more."""
        return tuple(self.state()["recorded_symbols"])

    def state(self) -> dict[str, Any]:
        answer: dict[str, Any] = get_json(f"{self.rest_url}/simulator/state", _FREEZE_TIMEOUT_S)
        return answer
