"""Kraken's REST answers: the envelope with its errors, Trades, OHLC and AssetPairs. Pure.

Every answer has status 200; what went wrong stands in `error`, as `<severity><category>:<words>`: E for an
error, W for a warning beside a result that holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from producers.exchanges.fields import OF_FOREIGN_VALUES, list_of, object_of, reason, row_of, whole
from producers.exchanges.kraken.frames import EXCHANGE
from producers.exchanges.kraken.pairs import Pair, pair_of_listing, renamed
from producers.exchanges.values import NotJson, decimal_text, decode_exact, padded
from shared.errors import (
    ExchangeError,
    ExchangeRefused,
    ExchangeUnavailable,
    InvalidMessage,
    UnknownSymbol,
)
from shared.intervals import INTERVAL_MS
from shared.message_checks import CHECKS_OF_FOREIGN
from shared.messages import TradeMessage
from shared.models import SCHEMA_VERSION
from shared.redirects import is_redirect, target
from shared.shortened import shortened

PAGE: Final = 1_000
_LIMIT_S: Final = 10.0
# About as long as a lockout lasts, by Kraken's page on API errors; requests in it count against it.
_LOCKOUT_S: Final = 900.0
_WARNING: Final = re.compile("W[A-Z][A-Za-z ]*:")
_OK: Final = 200
_BUYER_IS_MAKER: Final[Mapping[Any, bool]] = {"s": True, "b": False}
_LATEST_NS: Final = 2**63 - 1
_NS_DIGITS: Final = 9
# Seconds since the epoch, of which a year of 2262 has ten.
_SECONDS: Final = 10


class TradesPage(NamedTuple):
    """Trades by time.

    Attributes:
        end_ns: nanoseconds; what `since` takes for the following page.
        rows: number of rows, those that cannot be read included.
    """

    trades: list[TradeMessage]
    end_ns: int
    rows: int

    @property
    def whole(self) -> bool:
        """All rows could be read."""
        return len(self.trades) == self.rows


class Candle(NamedTuple):
    """A bar of the exchange, to compare ours with; decimals as sent."""

    open_time_ms: int
    open: str
    high: str
    low: str
    close: str
    base_volume: str
    trade_count: int


def result_of(status: int, headers: Mapping[str, str], body: bytes, request: str) -> dict[str, Any]:
    """The content of a good answer, decoded by `decode_exact`; also of one with nothing but warnings.

    Args:
        headers: with names in lower case.
        request: method and path, for the messages.

    Raises:
        ExchangeUnavailable: transient; `retry_after` if no request may be sent before.
        ExchangeRefused: this request will never be served.
        UnknownSymbol: the exchange does not list the pair.
    """
    if is_redirect(status):
        raise ExchangeRefused(
            f"{request}: sends on to {target(headers.get('location'))} ({status}), which is not followed"
        )
    if status == 408:  # a time-out of the server's, not a limit
        raise ExchangeUnavailable(f"{request}: the exchange does not answer now ({status})")
    if status == 429 or status >= 500:
        raise ExchangeUnavailable(f"{request}: the exchange does not answer now ({status})", _LIMIT_S)
    try:
        answer = object_of("answer", decode_exact(body))
        said = list_of("error", answer.get("error"))
    except NotJson:
        if status == _OK:
            raise ExchangeUnavailable(f"{request}: the answer is not JSON") from None
        raise ExchangeRefused(f"{request}: refused by the exchange ({status})") from None
    except InvalidMessage as error:
        raise ExchangeUnavailable(f"{request}: unexpected answer: {error}") from None
    errors = [each for each in said if not (type(each) is str and _WARNING.match(each))]
    if errors:
        raise _error_of(errors[0], request)
    if status != _OK:
        raise ExchangeRefused(f"{request}: refused by the exchange ({status})")
    try:
        return object_of("result", answer.get("result"))
    except InvalidMessage as error:
        raise ExchangeUnavailable(f"{request}: unexpected answer: {error}") from None


def _error_of(said: Any, request: str) -> ExchangeError:
    """The error that the exchange's words mean."""
    text = shortened(said)
    words = text.lower()
    if "unknown asset pair" in words:
        return UnknownSymbol(f"{request}: the exchange does not know this pair; see its AssetPairs")
    if "rate limit" in words or "too many requests" in words or "throttled" in words:
        return ExchangeUnavailable(f"{request}: too many requests ({text}), wait {_LIMIT_S:.0f} s", _LIMIT_S)
    if "temporary lockout" in words:
        return ExchangeUnavailable(
            f"{request}: locked out for a while ({text}), wait {_LOCKOUT_S:.0f} s", _LOCKOUT_S
        )
    if text.startswith("EService") or "internal error" in words:
        return ExchangeUnavailable(f"{request}: the exchange does not answer now ({text})")
    return ExchangeRefused(f"{request}: refused by the exchange ({text})")


def trades_page(
    pair: Pair, result: dict[str, Any], received_ms: int, reject: Callable[[Any, str], None] | None = None
) -> TradesPage:
    """The answer of Trades.

    Args:
        reject: takes rows that break the contract, with the reason; None: they are errors.

    Raises:
        InvalidMessage: it, or a row of it, is of another form.
    """
    end_ns = result.get("last")
    number = int(end_ns) if type(end_ns) is str and end_ns.isdecimal() and len(end_ns) < 20 else end_ns
    rows = _rows_of(result)
    trades: list[TradeMessage] = []
    for row in rows:
        try:
            trades.append(trade_of_row(pair, row, received_ms))
        except InvalidMessage as error:
            if reject is None:
                raise
            reject(row, str(error))
    return TradesPage(trades, whole("last", number, _LATEST_NS), len(rows))


def trade_of_row(pair: Pair, row: Any, received_ms: int) -> TradeMessage:
    """A row of Trades, decoded by `decode_exact`.

    Raises:
        InvalidMessage: it is of another form.
    """
    price, quantity, time, side, _, _, trade_id = row_of("trade row", row, 7)[:7]
    if type(side) is not str or side not in _BUYER_IS_MAKER:
        raise InvalidMessage("side", side, "b or s")
    trade: TradeMessage = {
        "schema": SCHEMA_VERSION,
        "exchange": EXCHANGE,
        "symbol": pair.symbol,
        "event_time_ms": None,
        "received_time_ms": received_ms,
        "source": "backfill",
        "trade_id": whole("trade_id", trade_id),
        # REST writes other zeros than the stream: as the stream would have written it.
        "price": padded("price", _without_zeros(decimal_text("price", price)), pair.price_places),
        "quantity": padded("volume", quantity, pair.quantity_places),
        "trade_time_ms": _seconds_ns("time", time) // 1_000_000,
        "buyer_is_maker": _BUYER_IS_MAKER[side],
    }
    CHECKS_OF_FOREIGN["trade"](trade)  # type: ignore[arg-type]  # a TypedDict is a dict
    return trade


def candles(interval: str, result: dict[str, Any]) -> list[Candle]:
    """The answer of OHLC; the last one is still running.

    Raises:
        InvalidMessage: it, or a row of it, is of another form.
    """
    found: list[Candle] = []
    for each in _rows_of(result):
        row = row_of("OHLC row", each, 8)
        open_time_ms = whole("time", row[0], 10**_SECONDS) * 1000
        if open_time_ms % INTERVAL_MS[interval]:
            raise InvalidMessage("time", row[0], f"a multiple of {interval}")
        opened, high, low, close, volume = (decimal_text("OHLC row", row[at]) for at in (1, 2, 3, 4, 6))
        found.append(Candle(open_time_ms, opened, high, low, close, volume, whole("count", row[7])))
    return found


def asset_pairs(result: dict[str, Any]) -> tuple[dict[str, Pair], dict[str, str]]:
    """The answer of AssetPairs: the pairs by symbol, and what is wrong with each that cannot be read.

    One without a readable symbol goes by REST's name.
    """
    pairs: dict[str, Pair] = {}
    faults: dict[str, str] = {}
    for name, fields in result.items():
        if name.endswith(".d"):
            continue  # a dark pool, which has no public data
        try:
            pair = pair_of_listing(shortened(fields.get("altname", name)), fields)
        except OF_FOREIGN_VALUES as error:
            symbol = fields.get("wsname") if type(fields) is dict else None
            faults[shortened(renamed(symbol) if type(symbol) is str else name)] = reason(error)
        else:
            pairs[pair.symbol] = pair
    return pairs, faults


def _rows_of(result: dict[str, Any]) -> list[Any]:
    """The rows of the only pair, whatever the exchange calls it here."""
    names = [name for name in result if name != "last"]
    if len(names) != 1:
        raise InvalidMessage("result", names, "the rows of one pair")
    return list_of("result", result[names[0]])


def _seconds_ns(field: str, value: Any) -> int:
    """Seconds with a fraction, as text or integer, in nanoseconds."""
    text = decimal_text(field, value)
    seconds, _, fraction = text.partition(".")
    if len(seconds) > _SECONDS:
        raise InvalidMessage(field, value, "a time in seconds before 2262")
    return int(seconds) * 10**_NS_DIGITS + int(fraction[:_NS_DIGITS].ljust(_NS_DIGITS, "0"))


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
