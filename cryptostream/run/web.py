"""The page of a run: its port, and where it is."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import orjson

from shared.settings import Settings

# After the usual port; beyond them any free one.
_NEXT_PORTS: Final = 9


class WebPage:
    """State of the child that serves the page.

    Attributes:
        line: where it is, for people; "" until it is known.

    Args:
        say: receives where it is, each time that this changes.
    """

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._host = settings.api_host
        self._wanted = settings.api_port
        self._fixed = settings.api_port != Settings.model_fields["api_port"].default
        self._say = say
        self._port: int | None = None
        self.line = ""

    def choose_port(self) -> int | None:
        """The port of a start: that of the start before, else as the settings say.

        A usual port that is taken gives way to the next free one; one that the user has named does not.
        None if the page cannot be served, which is said.
        """
        if self._port is not None or self._wanted == 0 or _is_free(self._host, self._wanted):
            return self._port or self._wanted
        if self._fixed:
            self._say(f"page: none, API_PORT {self._wanted} is taken by another program; name another one")
            return None
        following = range(self._wanted + 1, self._wanted + 1 + _NEXT_PORTS)
        return next((port for port in following if _is_free(self._host, port)), 0)

    def on_output(self, line: str) -> None:
        """Take a line of its standard output; called on a reader thread."""
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError:
            return  # only events are JSON
        if not isinstance(event, dict) or event.get("event") != "listening":
            return
        url = str(event["url"])
        self._port = urlsplit(url).port
        said = f"page: {url}" if event["page"] else f"page: {url} (only its API; `make web` builds the page)"
        if said != self.line:
            self.line = said
            self._say(said)


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
