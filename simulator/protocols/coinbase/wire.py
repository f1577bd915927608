"""Coinbase's frames: the envelope with its count, decimals without closing zeros."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from simulator.protocols.instants import rfc3339_ms
from simulator.world.market import Market

_EVENTS: Final = b',"events":'


class Decimals:
    """Writes a market's prices and quantities."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def price(self, ticks: int) -> str:
        return trimmed(self._market.price(ticks))

    def quantity(self, lots: int) -> str:
        return trimmed(self._market.quantity(lots))


def trimmed(number: str) -> str:
    """A decimal without closing zeros."""
    return number.rstrip("0").rstrip(".") if "." in number else number


def envelope(channel: str, time_ms: int, events: Any) -> dict[str, Any]:
    """A message without its number, which each connection counts for itself."""
    return {"channel": channel, "timestamp": rfc3339_ms(time_ms, 9), "events": events}


def encode(payload: Mapping[str, Any]) -> bytes:
    """A message's bytes without its number."""
    return orjson.dumps(payload)


def numbered(body: bytes, number: int) -> bytes:
    """A message's bytes with its number, where Coinbase has it: before the events."""
    head, sign, tail = body.partition(_EVENTS)
    if not sign:
        return b'%s,"sequence_num":%d}' % (body[:-1], number)
    return b'%s,"sequence_num":%d%s%s' % (head, number, sign, tail)
