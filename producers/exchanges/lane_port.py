"""What a lane is: the short way of an exchange's usual frames. See docs/decisions/lanes.md.

An exchange declares its lanes (`producers.exchanges.port.Exchange.lanes`); generic code runs them
(`producers.effect_runner.EffectRunner.short_way`) and knows no exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from producers.effects import Effect
from producers.exchanges.frame_types import Stream
from shared.messages import DepthMessage, KlineMessage


class Steps(Protocol):
    """What lanes may do to an instrument: take the next message of a stream, or change nothing.

    `value` is the message's bytes on Kafka.
    """

    @property
    def symbol(self) -> str: ...

    def quote(self, value: bytes) -> None:
        """Take a quote: each is published."""

    def trade(
        self, trade_id: int, time_ms: int, trade: tuple[str, str, bool], received_ms: int, value: bytes
    ) -> bool:
        """Take the next trade; whether it was.

        Args:
            trade: price, quantity, and whether the buyer is the maker.
        """

    def diff(self, diff: DepthMessage) -> Sequence[Effect] | None:
        """The effects of the diff that follows on the book; None: it was not taken."""

    def open_bar(self, interval: str, open_time_ms: int, event_ms: int, value: bytes) -> bool:
        """Take an update of the open bar; whether it was."""

    def closed_bar(self, kline: KlineMessage) -> Sequence[Effect] | None:
        """The effects of the next closed bar; None: it was not taken."""


# What a frame that a lane has taken leaves to do: the message's bytes to be sent first (None: nothing is sent
# but by effects), the exchange's time of the event (None: it has none), the other effects in order. A plain
# tuple: one is made for each frame, in a tenth of the time of a named one.
Taken = tuple[bytes | None, int | None, Sequence[Effect]]

# Called with a whole frame, the position where its stream's name ends, the receive time, and the latest time
# that an event can have. None: the frame goes the long way, and nothing has changed.
Take = Callable[[bytes, int, int, int], Taken | None]


class Lane(NamedTuple):
    """The short way of one stream.

    Attributes:
        topic: of the messages that it sends itself.
    """

    stream: Stream
    topic: str
    take: Take


class Lanes(NamedTuple):
    """The lanes of a connection.

    Attributes:
        name_at: where a frame names its stream; the name ends with the next quotation mark.
        by_head: lanes by what comes before that mark.
    """

    name_at: int
    by_head: Mapping[bytes, Lane]


NO_LANES = Lanes(0, {})
