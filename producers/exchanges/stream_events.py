"""What parsers of exchanges with streamed books give beside the kinds of `producers.exchanges.frame_types`.

Such a parser belongs to one connection, whose order it checks: what it cannot prove to be whole it says at
once, before anything else of the same frame.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from producers.exchanges.frame_types import Parsed
from shared.messages import DepthMessage


class BookUpdate(NamedTuple):
    """The book's snapshot, or the levels of a change, as the stream brought them.

    Attributes:
        message: its update ids are 0: exchanges with streamed books have none, `StreamedBook` gives them.
        event_us: the exchange's time of the change, microseconds since the epoch.
        checksum: of the book after it, by the exchange; None if it gives none.
    """

    message: DepthMessage
    event_us: int
    checksum: int | None = None


class BooksBroken(NamedTuple):
    """Something about books was lost or cannot be read: none of them is exact any more.

    Attributes:
        symbol: of the only book concerned; None for all books of the connection.
    """

    symbol: str | None
    reason: str


class Subscribed(NamedTuple):
    """The exchange carries a channel of a symbol from now on."""

    channel: str
    symbol: str


class SubscriptionRefused(NamedTuple):
    """The exchange refuses a subscription.

    Attributes:
        symbol: "" if the exchange does not name it.
        reason: one line for the user, shortened.
    """

    channel: str
    symbol: str
    reason: str


class TradingStatus(NamedTuple):
    """Whether a market is open.

    Attributes:
        symbol: None for the whole exchange.
        status: the exchange's own word.
        trading: trades are possible, by that word.
    """

    symbol: str | None
    status: str
    trading: bool


class Listed(NamedTuple):
    """What a stream says about its instruments: the symbol's precisions and steps.

    Attributes:
        pair: of the exchange's own type.
    """

    symbol: str
    pair: Any


class Heartbeat(NamedTuple):
    """The connection is alive."""


StreamEvent = (
    Parsed | BookUpdate | BooksBroken | Subscribed | SubscriptionRefused | TradingStatus | Listed | Heartbeat
)
