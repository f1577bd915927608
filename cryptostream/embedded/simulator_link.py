"""The run's side of the simulator: what it says on standard output, and its control requests."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any, Final

import orjson

from cryptostream.embedded.source import get_json

_FREEZE_TIMEOUT_S: Final = 30.0  # everything issued is sent first


class SimulatorLink:
    """Where the simulator listens, and whether its replay is over.

    Attributes:
        port: 0 until it listens; a simulator that is started again takes the same one.
        replay_finished: the last frame has been sent.
        read: how much of its recordings it has read so far, in frames and bars.

    Args:
        say: told of what could not be read of a recording.
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
        """Enter the events that have come; waits `timeout_s` for the first."""
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
        """Stop the market; everything issued up to now is with its clients when this returns.

        Raises:
            ExchangeUnavailable: it does not answer.
        """
        get_json(f"{self.rest_url}/simulator/freeze", _FREEZE_TIMEOUT_S)

    def recorded_symbols(self) -> tuple[str, ...]:
        """The symbols of the recordings; exchangeInfo may list many more.

        Raises:
            ExchangeUnavailable: it does not answer.
        """
        return tuple(self.state()["recorded_symbols"])

    def state(self) -> dict[str, Any]:
        """What it says of itself.

        Raises:
            ExchangeUnavailable: it does not answer.
        """
        answer: dict[str, Any] = get_json(f"{self.rest_url}/simulator/state", _FREEZE_TIMEOUT_S)
        return answer
