"""What a producer tells of its instruments: once they are known, when something changes, and each hour. Pure.

It is told on `pipeline.metrics`, which keeps a day: a consumer that was away for longer hears it again within
the hour. The time of a record is that of the change, so that telling it twice is storing it once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from producers.exchanges.port import Promises
from producers.exchanges.rest_port import Listing
from shared.shortened import OF_NAME, shortened

AGAIN_S: Final = 3_600.0
# About 400 bytes each: a record stays far below Kafka's 1 MB.
MOST_AT_ONCE: Final = 200

_NOTHING: Final = Listing(None, None, None, None, None)


class _Told(NamedTuple):
    listing: Listing
    status: str
    since_ms: int
    at_s: float


class Listings:
    """
    Args:
        exchange: its name.
        promises: its promises, the same of all its instruments.
    """

    def __init__(self, exchange: str, promises: Promises) -> None:
        self._exchange = exchange
        self._promises = {
            "trades_repaired_by": promises.trades.repair,
            "bars_from": promises.bars.source,
            "book_proved_by": promises.book.integrity,
            "quotes_from": promises.quotes.source,
        }
        self._told: dict[str, _Told] = {}

    def due(
        self, known: Iterable[tuple[str, str | None, Listing | None]], exchange_ms: int, now_s: float
    ) -> list[dict[str, Any]]:
        """Records to send now; what does not fit comes with the next call.

        Args:
            known: of each instrument its symbol, status and listing; without a status it is not told yet.
            exchange_ms: the exchange's clock.
        """
        records: list[dict[str, Any]] = []
        for symbol, status, said in known:
            if len(records) == MOST_AT_ONCE:
                break
            if status is None:
                continue
            before, listing = self._told.get(symbol), said or _NOTHING
            if before is None:
                since_ms = exchange_ms
            elif (before.listing, before.status) != (listing, status):
                since_ms = max(exchange_ms, before.since_ms + 1)  # our measure of its clock may step back
            elif now_s - before.at_s >= AGAIN_S:
                since_ms = before.since_ms
            else:
                continue
            self._told[symbol] = _Told(listing, status, since_ms, now_s)
            records.append(
                {
                    "exchange": self._exchange,
                    "symbol": symbol,
                    "since_ms": since_ms,
                    # The exchange's own words: bounded, and in visible characters.
                    **{name: word and shortened(word, OF_NAME) for name, word in listing._asdict().items()},
                    "status": shortened(status, OF_NAME),
                    **self._promises,
                }
            )
        return records
