"""`exact=1`: the exchange's own decimal strings, of klines and trades whose records the topic still has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from api.problems import wrong
from api.rows_request import PAGE_ROWS, RowsRequest
from api.topics import LATE_MS, Place, Searches
from consumers.measurements import KLINE, TRADE
from consumers.stores.port import Row
from shared.topics import TRADES, klines_topic
from shared.trade_ids import number_of

_NS_PER_MS: Final = 10**6


class ExactValues:
    """Strings of a span's records.

    Args:
        columns: of the rows; positions of decimals are those whose type is "decimal".
        strings: by identity, the strings by column.
    """

    def __init__(self, request: RowsRequest, strings: Mapping[int, Mapping[str, str]]) -> None:
        self._identity = "trade_id" if request.kind.name == TRADE.name else "time_ns"
        self._strings = strings
        self._positions = [
            (position, name)
            for position, (name, type_) in enumerate(zip(request.columns, request.types, strict=True))
            if type_ == "decimal"
        ]

    def replace(self, rows: Sequence[Row], values: Sequence[list[Any]]) -> None:
        """Put strings in the place of floats; rows that the topic does not have keep their floats."""
        for row, each in zip(rows, values, strict=True):
            strings = self._strings.get(int(row[self._identity] or 0))
            if strings is not None:
                for position, name in self._positions:
                    each[position] = strings[name]


class ExactRows:
    """Reads the strings of a request from its topic."""

    def __init__(self, searches: Searches) -> None:
        self._searches = searches

    async def of(self, request: RowsRequest) -> ExactValues:
        """The strings of all rows of a span.

        Raises:
            Problem: the request has no such strings, or the broker is away.
        """
        place = _place(request)
        search = self._searches.of(place.exchange, place.symbol)
        if request.from_ns is None or request.to_ns is None:
            raise wrong("exact", "needs a span; add `from` and `to`")
        from_ms, to_ms = request.from_ns // _NS_PER_MS, -(-request.to_ns // _NS_PER_MS)
        typed = zip(request.columns, request.types, strict=True)
        names = [name for name, type_ in typed if type_ == "decimal"]

        def strings() -> dict[int, dict[str, str]]:
            found: dict[int, dict[str, str]] = {}
            for message in search.messages(place, from_ms, to_ms + LATE_MS):
                time_ms = message["open_time_ms" if place.kind == "kline" else "trade_time_ms"]
                if from_ms <= time_ms < to_ms:
                    identity = time_ms * _NS_PER_MS if place.kind == "kline" else number_of(message)
                    found[identity] = {name: message[name] for name in names}
                    if len(found) > PAGE_ROWS:
                        raise wrong("exact", f"more than {PAGE_ROWS:,} records; ask for a shorter span")
            return found

        return ExactValues(request, await search.run(strings))


def _place(request: RowsRequest) -> Place:
    name = request.kind.name
    if name not in (KLINE.name, TRADE.name):
        raise wrong("exact", f"{name} is computed, and has no strings of the exchange; leave it out")
    if request.open_tags:
        raise wrong("exact", f"needs one series; add {', '.join(request.open_tags)}")
    topic = klines_topic(request.tags["interval"]) if name == KLINE.name else TRADES
    return Place(topic, name, request.tags["exchange"], request.tags["symbol"])
