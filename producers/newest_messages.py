"""The newest message of each stream: written for every message, read about once a second. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from producers.doubtful_trades import DISORDER_MS
from producers.stream_health import TRADE, StreamKey
from shared.messages import TradeMessage
from shared.trade_ids import number_of


class NewestMessages(dict[StreamKey, Any]):
    """Messages by stream, None before the first one.

    A lane writes a message's bytes on Kafka (`producers.next_steps`). They are decoded when it is first read,
    and the same object is given from then on; read by `[]` alone, since other methods of dict give the bytes.
    """

    # A trade received before the newest one; it has the highest id if that one came late.
    _above: TradeMessage | None = None

    def put_trade(self, trade: TradeMessage, highest: int | None) -> None:
        """Take a trade that may be a late one.

        Args:
            highest: number of the highest trade known to be issued before this one: one with a higher number
                is doubted, and says nothing of the stream.
        """
        before = self.highest_trade
        self[TRADE] = trade
        known = before is not None and highest is not None and number_of(before) <= highest
        self._above = before if known else None

    @property
    def highest_trade(self) -> TradeMessage | None:
        """The trade with the highest id that the stream has brought in the present numbering."""
        newest: TradeMessage | None = self[TRADE]
        above = self._above
        return above if newest is not None and above is not None and _is_late(newest, above) else newest

    def __getitem__(self, stream: StreamKey) -> Any:
        message = super().__getitem__(stream)
        if type(message) is bytes:
            message = self[stream] = orjson.loads(message)
        return message


def _is_late(trade: TradeMessage, above: TradeMessage) -> bool:
    """Whether a trade belongs before another one; a lower id of a later time begins a numbering anew."""
    lower = number_of(trade) < number_of(above)
    return lower and trade["trade_time_ms"] <= above["trade_time_ms"] + DISORDER_MS
