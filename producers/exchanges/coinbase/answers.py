"""Coinbase's REST answers: errors, trades of both interfaces, candles and products. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from producers.exchanges.coinbase.products import Product, product_of_row
from producers.exchanges.coinbase.trades import EXCHANGE, trade_of
from producers.exchanges.fields import OF_FOREIGN_VALUES, field_of, list_of, object_of, reason, whole
from producers.exchanges.rfc3339 import time_ns
from producers.exchanges.values import NotJson, decimal_text, decode_exact
from shared.errors import ExchangeRefused, ExchangeUnavailable, InvalidMessage, UnknownSymbol
from shared.message_checks import CHECKS_OF_FOREIGN
from shared.messages import DepthMessage, TradeMessage
from shared.models import SCHEMA_VERSION
from shared.redirects import is_redirect, target
from shared.shortened import OF_NAME, shortened

Answer = TypeVar("Answer")

PAGE: Final = 1_000
# Ten requests a second are served: a second is enough where the answer does not say.
_LIMIT_S: Final = 1.0
_LONGEST_S: Final = 3_600.0
_LATEST_MS: Final = 2**63 // 1_000_000 - 1
_LATEST_S: Final = 10**10


class Candle(NamedTuple):
    """A bar of the exchange, to compare ours with; decimals as sent. It has no number of trades."""

    open_time_ms: int
    open: str
    high: str
    low: str
    close: str
    base_volume: str


def decide(
    status: int, headers: Mapping[str, str], body: bytes, request: str, read: Callable[[Any], Answer]
) -> Answer:
    """The content of a good answer.

    Args:
        headers: with names in lower case.
        request: method and path, for the messages.
        read: reads the decoded body; InvalidMessage if it is of another form.

    Raises:
        ExchangeUnavailable: transient; `retry_after` if no request may be sent before.
        ExchangeRefused: this request will never be served.
        UnknownSymbol: the exchange does not list the product.
    """
    match status:
        case 200:
            try:
                return read(decode_exact(body))
            except NotJson:
                raise ExchangeUnavailable(f"{request}: the answer is not JSON") from None
            except InvalidMessage as error:
                raise ExchangeUnavailable(f"{request}: unexpected answer: {error}") from None
        case 404:
            raise UnknownSymbol(f"{request}: the exchange does not know this product ({_said(body)})")
        case 429:
            retry_after = _seconds(headers.get("retry-after"))
            raise ExchangeUnavailable(f"{request}: too many requests, wait {retry_after:.0f} s", retry_after)
        case _ if is_redirect(status):
            raise ExchangeRefused(
                f"{request}: sends on to {target(headers.get('location'))} ({status}), which is not followed"
            )
        case _ if status == 408 or status >= 500:
            raise ExchangeUnavailable(f"{request}: the exchange does not answer now ({status})")
        case _:
            raise ExchangeRefused(f"{request}: refused by the exchange ({status} {_said(body)})")


def trades(
    symbol: str, answer: Any, received_ms: int, reject: Callable[[Any, str], None] | None = None
) -> list[TradeMessage]:
    """Trades by id, of `/market/products/<id>/ticker` (an object) or of `/products/<id>/trades` (a list).

    Both give the newest first. A side that means another one than on the stream contradicts the trades that
    we hold, and is found by the proof of overlap (`producers.trade_pages`).

    Args:
        reject: takes rows that break the contract, with the reason; None: they are errors.

    Raises:
        InvalidMessage: it, or a row of it, is of another form.
    """
    rows = answer if type(answer) is list else field_of(object_of("answer", answer), "trades")
    found: list[TradeMessage] = []
    for row in list_of("trades", rows):
        try:
            found.append(trade_of_row(symbol, row, received_ms))
        except OF_FOREIGN_VALUES as error:
            if reject is None:
                raise
            reject(row, reason(error))
    return sorted(found, key=_trade_id)


def trade_of_row(symbol: str, row: Any, received_ms: int, latest_ms: int = _LATEST_MS) -> TradeMessage:
    """A row of either interface.

    Args:
        latest_ms: times after this lie beyond the exchange's clock.

    Raises:
        InvalidMessage: it is of another form.
    """
    return trade_of(
        object_of("trade", row),
        symbol,
        received_ms,
        source="backfill",
        event_ms=None,
        latest_ms=latest_ms,
    )


def candles(answer: Any) -> list[Candle]:
    """Candles of `/market/products/<id>/candles`, oldest first.

    Raises:
        InvalidMessage: it, or a row of it, is of another form.
    """
    found = []
    for each in list_of("candles", field_of(object_of("answer", answer), "candles")):
        row = object_of("candle", each)
        start = field_of(row, "start")
        open_time_ms = whole("start", start, _LATEST_S) * 1000
        values = (
            decimal_text(name, field_of(row, name)) for name in ("open", "high", "low", "close", "volume")
        )
        found.append(Candle(open_time_ms, *values))
    return sorted(found)


def products(answer: Any) -> tuple[dict[str, Product], dict[str, str]]:
    """Spot products of `/market/products` by symbol, and what is wrong with each that cannot be read.

    Raises:
        InvalidMessage: it is of another form.
    """
    found: dict[str, Product] = {}
    faults: dict[str, str] = {}
    for row in list_of("products", field_of(object_of("answer", answer), "products")):
        if type(row) is dict and row.get("product_type", "SPOT") != "SPOT":
            continue
        try:
            product = product_of_row(row)
        except OF_FOREIGN_VALUES as error:
            name = row.get("product_id") if type(row) is dict else row
            faults[shortened(name, OF_NAME)] = reason(error)
        else:
            found[product.symbol] = product
    return found, faults


def book(symbol: str, answer: Any, received_ms: int) -> DepthMessage:
    """The book of `/market/product_book`; its update id is its time in microseconds, as on the stream.

    Raises:
        InvalidMessage: it is of another form.
    """
    said = object_of("pricebook", field_of(object_of("answer", answer), "pricebook"))
    update_id = time_ns("time", field_of(said, "time")) // 1000
    bids, asks = (
        [
            [
                decimal_text("price", field_of(object_of("level", row), "price")),
                decimal_text("size", field_of(row, "size")),
            ]
            for row in list_of(side, field_of(said, side))
        ]
        for side in ("bids", "asks")
    )
    snapshot: DepthMessage = {
        "schema": SCHEMA_VERSION,
        "exchange": EXCHANGE,
        "symbol": symbol,
        "event_time_ms": None,
        "received_time_ms": received_ms,
        "source": "backfill",
        "kind": "snapshot",
        "first_update_id": update_id,
        "final_update_id": update_id,
        "bids": bids,
        "asks": asks,
    }
    CHECKS_OF_FOREIGN["depth"](snapshot)  # type: ignore[arg-type]  # a TypedDict is a dict
    return snapshot


def server_time(answer: Any) -> int:
    """The clock of `/time` (Advanced Trade's), ms since the epoch.

    Raises:
        InvalidMessage: it is of another form.
    """
    return whole("epochMillis", field_of(object_of("answer", answer), "epochMillis"), _LATEST_MS)


def _trade_id(trade: TradeMessage) -> int:
    return trade["trade_id"]


def _seconds(value: str | None) -> float:
    if value is None or not value.isdecimal() or len(value) > 6:
        return _LIMIT_S
    return min(float(value), _LONGEST_S)


def _said(body: bytes) -> str:
    return shortened(" ".join(body[:120].decode(errors="replace").split()))
