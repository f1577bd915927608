"""`GET /book`: one order book, now or in the past, from its topic."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request

from api.models import Book
from api.problems import Problem, busy, wrong
from api.rows_request import read_tag, read_time, single_values
from api.schema import TIME, parameter, problems
from api.topics import Place, Searches, TopicSearch, now_ms
from shared.messages import BookMessage
from shared.shortened import quoted
from shared.times import iso
from shared.topics import BOOK

_NS_PER_MS: Final = 10**6
# Books come each second or so while anything changes; an older one does not describe the moment.
_BEFORE_MS: Final = 30_000
# A record of the moment reaches the broker a little after it.
_AFTER_MS: Final = 10_000
# Several instruments share a partition.
_NEWEST: Final = 500
_PARAMETERS: Final = [
    parameter("exchange", {"type": "string", "maxLength": 100}, "like binance", required=True),
    parameter("symbol", {"type": "string", "maxLength": 100}, "like BTCUSDC", required=True),
    parameter("at", TIME, "ISO 8601 (UTC) or ms since the epoch; now if left out"),
]


def book_router(searches: Searches | None) -> APIRouter:
    """The route of books."""
    router = APIRouter(tags=["book"])

    @router.get(
        "/book",
        operation_id="book",
        summary="One order book, with all its levels",
        responses=problems("401", "403", "404", "414", "422", "503"),
        openapi_extra={"parameters": _PARAMETERS},
    )
    async def book(request: Request) -> Book:
        given = single_values(request.query_params.multi_items(), ("exchange", "symbol", "at"))
        for name in ("exchange", "symbol"):
            if not given.get(name):
                raise wrong(name, "is missing; add it, like exchange=binance&symbol=BTCUSDC")
        at_ns = read_time("at", given.get("at"))
        if searches is None:
            raise busy("there is no broker; set KAFKA_BOOTSTRAP_SERVERS", 30.0)
        exchange, symbol = read_tag("exchange", given["exchange"]), read_tag("symbol", given["symbol"])
        place = Place(BOOK, "book", exchange, symbol)
        search = searches.of(exchange, symbol)
        asked_ms = now_ms() if at_ns is None else at_ns // _NS_PER_MS
        found = await search.run(
            lambda: _newest(search, place) if at_ns is None else _at(search, place, asked_ms)
        )
        if found is None:
            what = f"no book of {quoted(symbol)} of {quoted(exchange)} at {iso(asked_ms)}"
            raise Problem(HTTPStatus.NOT_FOUND, f"{what}; ask for another time, or see /api/v1/instruments")
        return _answer(found, asked_ms)

    return router


def _newest(search: TopicSearch, place: Place) -> BookMessage | None:
    found: BookMessage | None = None
    for found in search.newest(place, _NEWEST):  # noqa: B007 - the last one is wanted
        pass
    return found


def _at(search: TopicSearch, place: Place, at_ms: int) -> BookMessage | None:
    found: BookMessage | None = None
    for message in search.messages(place, at_ms - _BEFORE_MS, at_ms + _AFTER_MS):
        if _time_ms(message) <= at_ms:
            found = message
    return found


def _answer(message: BookMessage, asked_ms: int) -> Book:
    sides: dict[str, Any] = {side: message[side] if message["synced"] else [] for side in ("bids", "asks")}
    time_ms = _time_ms(message)
    return Book(
        exchange=message["exchange"],
        symbol=message["symbol"],
        time_ms=time_ms,
        update_id=message["update_id"],
        synced=message["synced"],
        age_ms=asked_ms - time_ms,
        **sides,
    )


def _time_ms(message: BookMessage) -> int:
    """Time of the book's last change; that of arrival before the first."""
    event_ms = message["event_time_ms"]
    return message["received_time_ms"] if event_ms is None else event_ms
