"""Kraken's frames: JSON numbers with the pair's precision, and the book's checksum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

import orjson

from simulator.outgoing import JsonNumber, Outgoing
from simulator.world.book import Level
from simulator.world.market import Market, exact_decimals

_CHECKED_LEVELS = 10


class Decimals:
    """Writes a market's prices and quantities as numbers with exact text."""

    def __init__(self, market: Market) -> None:
        self._price = exact_decimals(market.instrument.price_decimals)
        # Quantities have 8 places, whatever the lot.
        self._quantity = market.quantity

    def price(self, ticks: int) -> JsonNumber:
        return JsonNumber(self._price(ticks))

    def quantity(self, lots: int) -> JsonNumber:
        return JsonNumber(self._quantity(lots))

    def level(self, level: Level) -> dict[str, JsonNumber]:
        return {"price": self.price(level[0]), "qty": self.quantity(level[1])}

    def checksum(self, asks: Sequence[Level], bids: Sequence[Level]) -> int:
        """The CRC32 of the best ten levels of each side, best first (COINBASE_KRAKEN.md §4.4)."""
        text = "".join(
            _digits(self._price(ticks)) + _digits(self._quantity(lots))
            for side in (asks, bids)
            for ticks, lots in side[:_CHECKED_LEVELS]
        )
        return crc32(text.encode())


def _digits(number: str) -> str:
    return number.replace(".", "").lstrip("0")


def encode(payload: Mapping[str, Any]) -> bytes:
    """A frame's bytes."""
    return orjson.dumps(payload, default=_number, option=orjson.OPT_PASSTHROUGH_SUBCLASS)


def _number(value: Any) -> orjson.Fragment:
    if isinstance(value, JsonNumber):
        return orjson.Fragment(value.encode())
    raise TypeError(f"{type(value).__name__} is no part of a frame")


def frame_of(event: Outgoing) -> bytes:
    """An event's frame, made on first demand."""
    return event.damaged(event.frame("v2", lambda: encode(event.event)))
