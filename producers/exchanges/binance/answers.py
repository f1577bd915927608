"""Binance's REST answers: errors decided in one switch (BINANCE_SPOT.md §7.5–7.7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from producers.exchanges.frame_types import LATEST_MS
from producers.exchanges.rest_port import Listing
from producers.exchanges.values import is_zero
from shared.errors import ExchangeBlocked, ExchangeRefused, ExchangeUnavailable, InvalidMessage, UnknownSymbol
from shared.message_checks import is_decimal
from shared.redirects import is_redirect, target
from shared.shortened import OF_NAME, shortened

Answer = TypeVar("Answer")

# A firewall's block and a limit without Retry-After both last minutes.
_BLOCK_S: Final = 300.0
_LIMIT_S: Final = 60.0
_LONGEST_S: Final = 3 * 86_400.0
_DIGITS: Final = 15
_UNKNOWN_SYMBOL: Final = -1121
USED_WEIGHT: Final = "x-mbx-used-weight-1m"


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
        ExchangeBlocked: transient, of this host only.
        ExchangeRefused: this request, or this location, will never be served.
        UnknownSymbol: the exchange does not list the symbol.
    """
    match status:
        case 200:
            return _answered(body, request, read)
        case 400 if _code(body) == _UNKNOWN_SYMBOL:
            raise UnknownSymbol(f"{request}: the exchange does not know this symbol; see its exchangeInfo")
        case 403 if _code(body) is None:
            # The content delivery network answers here, often in HTML; the exchange itself gives a code.
            raise ExchangeBlocked(f"{request}: blocked by the exchange's firewall (403)", _BLOCK_S)
        case 418 | 429:
            retry_after = _seconds(headers.get("retry-after"), _LIMIT_S)
            what = "this IP is banned" if status == 418 else "too much weight used by this IP"
            raise ExchangeUnavailable(f"{request}: {what} ({status}), wait {retry_after:.0f} s", retry_after)
        case 451:
            raise ExchangeRefused(
                f"{request}: the exchange does not serve this place (451); "
                "set BINANCE_REST_URL and BINANCE_WS_URL to its market-data-only hosts"
            )
        case _ if is_redirect(status):
            raise ExchangeRefused(
                f"{request}: sends on to {target(headers.get('location'))} ({status}), which is not followed;"
                " give the exchange's own address by BINANCE_REST_URL or BINANCE_HISTORY_URL"
            )
        case _ if status == 408 or status >= 500:
            raise ExchangeUnavailable(f"{request}: the exchange failed ({status} {_text(body)})")
        case _:
            raise ExchangeRefused(f"{request}: refused by the exchange ({status} {_text(body)})")


def used_weight(headers: Mapping[str, str]) -> int | None:
    """Weight that the IP has used in this minute; None if the answer does not say."""
    value = headers.get(USED_WEIGHT, "")
    return int(value) if value.isdecimal() and len(value) <= _DIGITS else None


def served_ms(headers: Mapping[str, str]) -> int | None:
    """Time of the answer by its server's clock, to the second; None if it does not say."""
    try:
        time_ms = int(parsedate_to_datetime(headers.get("date", "")).timestamp()) * 1000
    except (ValueError, TypeError, LookupError, OverflowError):  # the library's errors for invalid dates
        return None
    return time_ms if 0 < time_ms < LATEST_MS else None


class ExchangeInfo(NamedTuple):
    """The fields used of `exchangeInfo`.

    Attributes:
        weight_limit: weight a minute, if given.
        statuses: by symbol.
        listings: by symbol.
        recorded_halts: by symbol, first and last millisecond of spans in which a recorded exchange has no
            bars; only our simulator gives them, in replay.
    """

    weight_limit: int | None
    statuses: dict[str, str]
    listings: dict[str, Listing]
    recorded_halts: dict[str, tuple[tuple[int, int], ...]]


def exchange_info(answer: Any) -> ExchangeInfo:
    """Reads only what is needed, since new fields come often (BINANCE_SPOT.md §8.2).

    Raises:
        InvalidMessage: it lists no symbols.
    """
    listed = object_of(answer).get("symbols")
    if type(listed) is not list or not all(type(symbol) is dict for symbol in listed):
        raise InvalidMessage("symbols", listed, "a list of objects")
    named = [symbol for symbol in listed if type(symbol.get("symbol")) is str]
    found = {symbol["symbol"]: shortened(symbol.get("status"), OF_NAME) for symbol in named}
    listings = {symbol["symbol"]: _listing(symbol) for symbol in named}
    halts = {
        symbol["symbol"]: _spans(symbol["recordedHalts"]) for symbol in named if "recordedHalts" in symbol
    }
    return ExchangeInfo(_weight_limit(answer), found, listings, halts)


def _listing(symbol: Mapping[str, Any]) -> Listing:
    """Assets and steps; what is of another form is left out, since streams need none of it."""
    filters = symbol.get("filters")
    steps = {
        each.get("filterType"): each.get(name)
        for each in (filters if type(filters) is list else ())
        if type(each) is dict and type(each.get("filterType")) is str
        for name in ("tickSize", "stepSize")
        if name in each
    }
    return Listing(
        _asset(symbol.get("baseAsset")),
        _asset(symbol.get("quoteAsset")),
        _step(steps.get("PRICE_FILTER")),
        _step(steps.get("LOT_SIZE")),
    )


def _asset(name: Any) -> str | None:
    return name if type(name) is str and name.isprintable() and 0 < len(name) <= OF_NAME else None


def _step(text: Any) -> str | None:
    # 0 says that there is no such rule (BINANCE_SPOT.md §10).
    return text if type(text) is str and is_decimal(text) and not is_zero(text) else None


def _spans(listed: Any) -> tuple[tuple[int, int], ...]:
    """The valid pairs of times."""
    return tuple(
        (span[0], span[1])
        for span in (listed if type(listed) is list else ())
        if type(span) is list and len(span) == 2 and all(type(time_ms) is int for time_ms in span)
    )


def server_time(answer: Any) -> int:
    """The exchange's clock from `/api/v3/time`, ms since the epoch.

    Raises:
        InvalidMessage: it has no time.
    """
    time_ms = object_of(answer).get("serverTime")
    if type(time_ms) is not int or not 0 < time_ms < LATEST_MS:
        raise InvalidMessage("serverTime", time_ms, "a time in ms before 2262")
    return time_ms


def rows_of(answer: Any) -> list[Any]:
    """Rows, not yet checked one by one.

    Raises:
        InvalidMessage: it is no list.
    """
    if type(answer) is not list:
        raise InvalidMessage("answer", answer, "a list")
    return answer


def object_of(answer: Any) -> dict[str, Any]:
    """A JSON object, its fields not yet checked.

    Raises:
        InvalidMessage: it is none.
    """
    if type(answer) is not dict:
        raise InvalidMessage("answer", answer, "a JSON object")
    return answer


def _weight_limit(info: Mapping[str, Any]) -> int | None:
    """REQUEST_WEIGHT per minute of `rateLimits`, the authoritative limit."""
    limits = info.get("rateLimits")
    for limit in limits if type(limits) is list else ():
        if type(limit) is not dict:
            continue
        if limit.get("rateLimitType") == "REQUEST_WEIGHT" and limit.get("interval") == "MINUTE":
            count, per = limit.get("limit"), limit.get("intervalNum", 1)
            if type(count) is int and type(per) is int and count >= per > 0:
                return count // per
    return None


def _answered(body: bytes, request: str, read: Callable[[Any], Answer]) -> Answer:
    """Invalid content with a good status comes from proxies before the exchange: it is transient."""
    try:
        return read(orjson.loads(body))
    except orjson.JSONDecodeError:
        raise ExchangeUnavailable(f"{request}: the answer is not JSON") from None
    except InvalidMessage as error:
        raise ExchangeUnavailable(f"{request}: unexpected answer: {error}") from None


def _code(body: bytes) -> int | None:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return answer.get("code") if type(answer) is dict else None


def _seconds(value: str | None, otherwise: float) -> float:
    """Seconds to wait, at most the exchange's longest ban."""
    if value is None or not value.isdecimal():
        return otherwise
    return min(float(value), _LONGEST_S) if len(value) <= _DIGITS else _LONGEST_S


def _text(body: bytes) -> str:
    return shortened(" ".join(body[:120].decode(errors="replace").split()))
