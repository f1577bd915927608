"""How Binance's REST fails (BINANCE_SPOT.md §7.6, §9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from simulator.protocols.binance.weights import refusal_body
from simulator.protocols.port import JSON, RestAnswer, Verbatim

_HTML: Final = "text/html"
_PAGE: Final = b"<html><head><title>%s</title></head><body><center><h1>%s</h1></center></body></html>\r\n"
# 500 and 503 come from the exchange in JSON, the others from proxies before it (BINANCE_SPOT.md §7.6);
# 451 for countries that are not served, 403 by the firewall.
_ERRORS: Final[Mapping[int, tuple[bytes, str]]] = {
    400: (b'{"code":-1121,"msg":"Invalid symbol."}', JSON),
    401: (b'{"code":-2014,"msg":"API-key format invalid."}', JSON),
    403: (b"", JSON),
    404: (b"", JSON),
    451: (b'{"code":0,"msg":"Service unavailable from a restricted location."}', JSON),
    500: (b'{"code":-1000,"msg":"An unknown error occurred while processing the request."}', JSON),
    502: (_PAGE % (b"502 Bad Gateway", b"502 Bad Gateway"), _HTML),
    503: (b'{"code":-1008,"msg":"Server is currently overloaded with other requests."}', JSON),
    504: (_PAGE % (b"504 Gateway Time-out", b"504 Gateway Time-out"), _HTML),
}


class BinanceManners:
    """Refusals with Binance's codes; `serverTime` of exchangeInfo and time; rows of klines."""

    only_paths: Mapping[str, tuple[str, ...]] = {
        "rest_old_snapshot": ("depth",),
        "historical_trades_refused": ("historicalTrades",),
        "time_jump": ("time",),
        # Answered from a database.
        "rest_behind": ("klines", "uiKlines", "trades", "historicalTrades", "aggTrades"),
    }

    def error(self, status: int) -> Verbatim:
        return Verbatim(status, *_ERRORS[status])

    def limited(self, kind: str, retry_after_s: float, now_ms: int) -> Verbatim:
        limited = kind == "rest_429"
        body = refusal_body(None if limited else now_ms + int(retry_after_s * 1000))
        headers = {"Retry-After": str(int(retry_after_s))}
        return Verbatim(429 if limited else 418, orjson.dumps(body), headers=headers)

    def with_server_time(self, answer: RestAnswer, offset_ms: int) -> RestAnswer:
        body: Any = answer.body
        if not isinstance(body, dict) or "serverTime" not in body:
            return answer
        scale = 1000 if body["serverTime"] > 10**14 else 1
        return replace(answer, body={**body, "serverTime": body["serverTime"] + offset_ms * scale})

    def without_open_row(self, answer: RestAnswer, from_ms: int, until_ms: float) -> RestAnswer:
        if answer.klines is None or not isinstance(answer.body, list):
            return answer
        symbol, interval, rows = answer.klines
        # Only the newest row can be open.
        if not rows or not from_ms <= rows[-1].close_time_ms < until_ms:
            return answer
        return replace(answer, body=answer.body[:-1], klines=(symbol, interval, rows[:-1]))
