"""Control messages of a stream connection: subscriptions and properties (BINANCE_SPOT.md §3)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from simulator.outgoing import Outgoing
from simulator.protocols.binance.envelopes import encoded
from simulator.protocols.binance.stream_names import well_formed
from simulator.protocols.port import FrameLimit

MOST_STREAMS: Final = 1024
_FRAMES_PER_SECOND: Final = 5
_METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class _Refusal(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class ControlSession:
    """The subscriptions of one connection.

    Attributes:
        streams: names in the order of their subscription.
        combined: whether events travel in the combined envelope.
        limit: PINGs, PONGs, messages alike (BINANCE_SPOT.md §2.3).
    """

    deadline_s: float | None = None
    beats = False

    def __init__(self, streams: Iterable[str], *, combined: bool, microseconds: bool = False) -> None:
        self.streams: dict[str, None] = dict.fromkeys(streams)
        self.combined = combined
        self.limit: FrameLimit | None = FrameLimit(_FRAMES_PER_SECOND)
        self._microseconds = microseconds

    def opening(self) -> Sequence[bytes]:
        return ()

    def subscribes(self, text: str) -> bool:  # noqa: ARG002
        """No fault misleads those who ask here: clients name their streams in the address."""
        return False

    def replies(self, text: str, *, wrong: bool = False) -> Sequence[bytes]:  # noqa: ARG002
        return (self.receive(text),)

    def number(self, event: Outgoing) -> None:
        """Binance numbers no messages."""

    def frame(self, event: Outgoing) -> bytes:
        return encoded(event, combined=self.combined, microseconds=self._microseconds)

    def beat(self, *, quiet: bool) -> Sequence[bytes]:  # noqa: ARG002
        return ()

    def farewell(self) -> bytes:
        return self.frame(
            Outgoing("!serverShutdown", {"e": "serverShutdown", "E": time.time_ns() // 1_000_000})
        )

    def receive(self, text: str) -> bytes:
        """Act on one text frame; the acknowledgement or error, which is never wrapped."""
        request_id: Any = None
        try:
            request = _decoded(text)
            if isinstance(request.get("id"), int | str):
                request_id = request["id"]
            return orjson.dumps({"result": self._obey(request, text), "id": request_id})
        except _Refusal as refusal:
            return orjson.dumps({"error": {"code": refusal.code, "msg": str(refusal)}, "id": request_id})

    def _obey(self, request: dict[str, Any], text: str) -> Any:
        method = _method(request, text)
        if not _valid_id(request.get("id", ...)):
            raise _Refusal(2, "Invalid request: request ID must be an unsigned integer")
        params = request.get("params", [])
        if not isinstance(params, list):
            raise _Refusal(2, "Invalid request: invalid type for params, expected a sequence")
        match method:
            case "SUBSCRIBE":
                wanted = dict.fromkeys(_names(params))
                if len(self.streams | wanted) > MOST_STREAMS:
                    raise _Refusal(4, "Too many subscriptions")
                self.streams |= wanted
            case "UNSUBSCRIBE":
                for name in _names(params):
                    self.streams.pop(name, None)
            case "LIST_SUBSCRIPTIONS":
                if params:
                    raise _Refusal(2, "Invalid request: too many parameters")
                return list(self.streams)
            case "SET_PROPERTY":
                _check_property(params, 2)
                if not isinstance(params[1], bool):
                    raise _Refusal(1, "Invalid value type: expected Boolean")
                self.combined = params[1]
            case "GET_PROPERTY":
                _check_property(params, 1)
                return self.combined
        return None


def _decoded(text: str) -> dict[str, Any]:
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _Refusal(
            3, f"Invalid JSON: expected value at line {error.lineno} column {error.colno}"
        ) from None
    if not isinstance(request, dict):
        raise _Refusal(3, "Invalid JSON: expected value at line 1 column 1")
    return request


def _method(request: dict[str, Any], text: str) -> str:
    method = request.get("method")
    if method is None:
        raise _Refusal(2, f"Invalid request: missing field `method` at line 1 column {len(text)}")
    if method not in _METHODS:
        found = re.search(r'"method"\s*:\s*"(?:[^"\\]|\\.)*"', text)
        column = found.end() if found else len(text)
        expected = ", ".join(f"`{name}`" for name in _METHODS)
        raise _Refusal(
            2,
            f"Invalid request: unknown variant `{method}`, expected one of {expected} "
            f"at line 1 column {column}",
        )
    return str(method)


def _valid_id(request_id: Any) -> bool:
    # Signed 64-bit, alphanumeric up to 36 characters, or null; a missing one is not (§3).
    if isinstance(request_id, bool):
        return False
    if isinstance(request_id, int):
        return -(2**63) <= request_id < 2**63
    if isinstance(request_id, str):
        return 0 < len(request_id) <= 36 and request_id.replace("-", "").replace("_", "").isalnum()
    return request_id is None


def _names(params: list[Any]) -> list[str]:
    for name in params:
        if not isinstance(name, str) or not well_formed(name):
            raise _Refusal(2, "Invalid request: invalid stream")
    return params


def _check_property(params: list[Any], count: int) -> None:
    if not params or not isinstance(params[0], str):
        raise _Refusal(2, "Invalid request: property name must be a string")
    if params[0] != "combined":
        raise _Refusal(0, "Unknown property")
    if len(params) > count:
        raise _Refusal(2, "Invalid request: too many parameters")
    if len(params) < count:
        raise _Refusal(1, "Invalid value type: expected Boolean")
