"""The streams of an exchange and its parsed frames, as every exchange's parser gives them."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

# The year 2262, where int64 nanoseconds end; a time in microseconds passed this number in 1970.
LATEST_MS: Final = 2**63 // 1_000_000


class Stream(NamedTuple):
    """One stream: its key in the watchdog, and its name on the wire."""

    symbol: str
    kind: str
    interval: str | None
    name: str


class StreamMessage(NamedTuple):
    """A checked message; `kind` as in `shared.message_checks.CHECKS`."""

    kind: Literal["kline", "trade", "depth", "quote"]
    message: Any


class Rejected(NamedTuple):
    """The frame, or one event of it, breaks the contract and belongs to the dead letters.

    Attributes:
        stream: its name in the frame, shortened; "" if there is none.
        field: the id or time that is out of bounds, by the contract's name; "" otherwise.
        ahead: the field is a time beyond the exchange's clock, as far as the caller knows it.
        symbol: by the stream's name, not checked; "" if it names none.
    """

    stream: str
    reason: str
    field: str = ""
    ahead: bool = False
    symbol: str = ""


class ServerShutdown(NamedTuple):
    """The server will end the connection soon."""


class ControlReply(NamedTuple):
    """The answer to a subscription and the like; `error` is None if it was accepted. Both are shortened."""

    request_id: str
    error: str | None


class Ignored(NamedTuple):
    """An event of a kind that is not used here."""

    kind: str


Parsed = StreamMessage | Rejected | ServerShutdown | ControlReply | Ignored
