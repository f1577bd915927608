"""What an answer of Binance's REST interface means; decided in one switch (BINANCE_SPOT.md §7.5–7.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from shared.errors import ExchangeBlocked, ExchangeRefused, ExchangeUnavailable, UnknownSymbol

# A firewall's block and a limit without Retry-After both last minutes.
_BLOCK_S: Final = 300.0
_LIMIT_S: Final = 60.0
_UNKNOWN_SYMBOL: Final = -1121
USED_WEIGHT: Final = "x-mbx-used-weight-1m"


def decide(status: int, headers: Mapping[str, str], body: bytes, request: str) -> Any:
    """The decoded body of a good answer.

    Args:
        headers: with names in lower case.
        request: method and path, for the messages.

    Raises:
        ExchangeUnavailable: transient; `retry_after` where nothing must be asked before.
        ExchangeBlocked: transient, but only this host is concerned.
        ExchangeRefused: this request, or this place, will never be served.
        UnknownSymbol: the exchange does not list the symbol.
    """
    match status:
        case 200:
            return _decoded(body, request)
        case 400 if _code(body) == _UNKNOWN_SYMBOL:
            raise UnknownSymbol(f"{request}: the exchange does not know this symbol; see its exchangeInfo")
        case 403 if _code(body) is None:
            # The content delivery network speaks here, often in HTML; the exchange itself would give a code.
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
        case _ if status >= 500:
            raise ExchangeUnavailable(f"{request}: the exchange failed ({status} {_text(body)})")
        case _:
            raise ExchangeRefused(f"{request}: refused by the exchange ({status} {_text(body)})")


def used_weight(headers: Mapping[str, str]) -> int | None:
    """Weight that the IP has used in this minute, None if the answer does not say."""
    value = headers.get(USED_WEIGHT, "")
    return int(value) if value.isdecimal() else None


def weight_limit(exchange_info: Mapping[str, Any]) -> int | None:
    """REQUEST_WEIGHT per minute of exchangeInfo's `rateLimits`: the truth about the limit."""
    for limit in exchange_info.get("rateLimits", ()):
        if limit.get("rateLimitType") == "REQUEST_WEIGHT" and limit.get("interval") == "MINUTE":
            count, per = limit.get("limit"), limit.get("intervalNum", 1)
            if type(count) is int and type(per) is int and per > 0:
                return count // per
    return None


def statuses(exchange_info: Mapping[str, Any]) -> dict[str, str]:
    """Symbol → status; lenient, since new fields come often (BINANCE_SPOT.md §8.2)."""
    return {
        str(symbol.get("symbol")): str(symbol.get("status")) for symbol in exchange_info.get("symbols", ())
    }


def _decoded(body: bytes, request: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ExchangeUnavailable(f"{request}: answered with something that is not JSON") from None


def _code(body: bytes) -> int | None:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return answer.get("code") if type(answer) is dict else None


def _seconds(value: str | None, otherwise: float) -> float:
    return float(value) if value is not None and value.isdecimal() else otherwise


def _text(body: bytes) -> str:
    return " ".join(body[:120].decode(errors="replace").split())
