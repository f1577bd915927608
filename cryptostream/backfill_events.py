"""What the ledger is told of bars and trades that a command publishes: expected, and repaired."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from producers.ledger_events import LedgerEvents
from shared.messages import LedgerMessage
from shared.trade_ids import number_of


def backfill_events(messages: Iterable[Any]) -> list[LedgerMessage]:
    """Events for closed bars and trades of one instrument, in ascending order of their ids."""
    events: LedgerEvents | None = None
    for message in messages:
        events = events or LedgerEvents(message["exchange"], message["symbol"])
        bar = "open_time_ms" in message
        ident = message["open_time_ms"] if bar else number_of(message)
        for kind in ("expected", "repaired"):
            events.add(
                kind,
                "klines" if bar else "trades",
                message["interval"] if bar else None,
                ident,
                ident,
                event_time_ms=ident if bar else message["trade_time_ms"],
                received_time_ms=message["received_time_ms"],
                source="backfill",
            )
    return events.flush() if events is not None else []
