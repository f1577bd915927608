"""The faults of REST, decided for each request; pure: waiting and cutting are left to the server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import orjson

from simulator.faults.kinds import GARBAGE_SHAPES, ONLY_PATHS, SERVER_ERRORS
from simulator.faults.schedule import Draw, Occasions, Strike, spans
from simulator.faults.script import Fault
from simulator.protocol.rest import RestAnswer, RestRequest

_PAGE: Final = b"<html><head><title>%s</title></head><body><center><h1>%s</h1></center></body></html>\r\n"
_JSON: Final = "application/json"
_HTML: Final = "text/html"
# Rows of the wrong shape for every endpoint that answers with a list; for the others not a list.
_GARBAGE: Final[Mapping[str, tuple[bytes, str]]] = {
    "html": (_PAGE % (b"Welcome", b"Please wait"), _HTML),
    "text": (b"upstream connect error", _JSON),
    "null": (b"null", _JSON),
    "object": (b'{"data":"none"}', _JSON),
    "rows": (b'[["x",null],{"id":"one"},7]', _JSON),
}
# 500 and 503 come from the exchange in JSON, the others from what stands before it (BINANCE_SPOT.md §7.6).
_ERRORS: Final[Mapping[int, tuple[bytes, str]]] = {
    500: (b'{"code":-1000,"msg":"An unknown error occurred while processing the request."}', _JSON),
    502: (_PAGE % (b"502 Bad Gateway", b"502 Bad Gateway"), _HTML),
    503: (b'{"code":-1008,"msg":"Server is currently overloaded with other requests."}', _JSON),
    504: (_PAGE % (b"504 Gateway Time-out", b"504 Gateway Time-out"), _HTML),
}

# 451 is what a country gets that is not served, 403 what the firewall says (BINANCE_SPOT.md §7.6).
_CLIENT_ERRORS: Final[Mapping[int, bytes]] = {
    400: b'{"code":-1121,"msg":"Invalid symbol."}',
    401: b'{"code":-2014,"msg":"API-key format invalid."}',
    403: b"",
    404: b"",
    451: b'{"code":0,"msg":"Service unavailable from a restricted location."}',
}


@dataclass(frozen=True, slots=True)
class Verbatim:
    """An answer in place of the exchange's, with a body that need not be JSON."""

    status: int
    body: bytes
    content_type: str = _JSON
    headers: Mapping[str, str] = field(default_factory=dict)


class Disturbance(NamedTuple):
    """What becomes of one request.

    Attributes:
        first: it begins a firing.
        instead: the whole answer; None: the exchange's own.
        hold_s: real seconds until the answer is sent.
        cut: only half of the body is sent, then the connection breaks.
        age_ms: the exchange answers as of so long ago.
        dead: the connection breaks without an answer.
        offset_ms: the time that is told is off by so much.
    """

    fault: Fault
    first: bool
    instead: Verbatim | None = None
    hold_s: float = 0.0
    cut: bool = False
    age_ms: int = 0
    dead: bool = False
    offset_ms: int = 0


class RequestFaults:
    """Decides about requests by endpoint, symbol and how many came before, not by when they come."""

    def __init__(self, faults: Sequence[Fault], seed: int, begin_ms: int) -> None:
        self._seed = seed
        self._armed: list[tuple[Fault, Draw, Occasions]] = []
        self._skews: list[tuple[Fault, list[tuple[int, float]]]] = []
        self._seen: Counter[str] = Counter()
        for fault in faults:
            self.add(fault, begin_ms)

    def add(self, fault: Fault, begin_ms: int) -> None:
        """One more, whose times count from `begin_ms`."""
        draw = Draw(self._seed, fault)
        if fault.declared.place == "request":
            # A duration is how long an answer is held, where it is held.
            lasting = fault.kind != "rest_timeout"
            self._armed.append((fault, draw, Occasions(fault, draw, begin_ms, lasting=lasting)))
        elif fault.kind == "clock_skew":
            self._skews.append((fault, spans(fault, draw, begin_ms)))

    def meet(self, request: RestRequest) -> Disturbance | None:
        """Decide one request of a known endpoint."""
        symbol = dict(request.query).get("symbol", "")
        series = f"{request.path} {symbol}"
        self._seen[series] += 1
        number = self._seen[series]
        for fault, draw, occasions in self._armed:
            if not _meant(fault, request.path, symbol):
                continue
            strike = occasions.meet(request.now_ms, series, number)
            if strike is not Strike.NO:
                drawn = draw.number(series + "#", number)
                return _disturbed(fault, strike is Strike.FIRST, request, drawn)
        return None

    def skew(self, request: RestRequest, answer: RestAnswer) -> tuple[RestAnswer, Fault | None]:
        """The answer of a server whose clock is wrong, and whose fault it is.

        A clock ahead calls the open bar finished: such a bar is left out, as a slow database does
        (BINANCE_SPOT.md §9), so that who trusts `serverTime` is never given half a bar.
        """
        for fault, covered in self._skews:
            if any(begin <= request.now_ms < end for begin, end in covered):
                offset_ms = round(fault.options["offset_ms"])
                changed = _skewed(request, answer, offset_ms)
                if changed is not answer:
                    return changed, fault
        return answer, None


def _meant(fault: Fault, path: str, symbol: str) -> bool:
    if path not in ONLY_PATHS.get(fault.kind, (path,)):
        return False
    return (not fault.paths or path in fault.paths) and (not fault.symbols or symbol in fault.symbols)


def _disturbed(fault: Fault, first: bool, request: RestRequest, draw: int) -> Disturbance:
    options = fault.options
    plain = Disturbance(fault, first)
    match fault.kind:
        case "rest_timeout":
            return plain._replace(hold_s=fault.duration_s)
        case "rest_old_snapshot" | "rest_behind":
            return plain._replace(age_ms=round(options["age"] * 1000))
        case "rest_dead":
            return plain._replace(dead=True)
        case "time_jump":
            return plain._replace(offset_ms=round(options["offset_ms"]))
        case "rest_4xx":
            instead = Verbatim(options["status"], _CLIENT_ERRORS[options["status"]])
        case "rest_cut":
            return plain._replace(cut=True)
        case "rest_5xx":
            status = options["status"] or SERVER_ERRORS[draw % len(SERVER_ERRORS)]
            instead = Verbatim(status, *_ERRORS[status])
        case "rest_garbage":
            shape = options["shape"] or GARBAGE_SHAPES[draw % len(GARBAGE_SHAPES)]
            instead = Verbatim(200, *_GARBAGE[shape])
        case "historical_trades_refused":
            # As the market-data-only host, which does not have the endpoint (BINANCE_SPOT.md §7.1).
            instead = Verbatim(404, b"", "text/plain")
        case _:
            instead = _limited(fault, request.now_ms)
    return plain._replace(instead=instead)


def _limited(fault: Fault, now_ms: int) -> Verbatim:
    retry_after = fault.options["retry_after"]
    if fault.kind == "rest_429":
        status, text = (
            429,
            "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. ",
        )
        text += "Please use WebSocket Streams for live updates to avoid polling the API."
    else:
        until_ms = now_ms + int(retry_after * 1000)
        status, text = 418, f"Way too much request weight used; IP banned until {until_ms}. "
        text += "Please use WebSocket Streams for live updates to avoid bans."
    body = orjson.dumps({"code": -1003, "msg": text})
    return Verbatim(status, body, headers={"Retry-After": str(int(retry_after))})


def with_server_time(answer: RestAnswer, offset_ms: int) -> RestAnswer:
    """The answer with its `serverTime`, where it has one, off by so much."""
    body: Any = answer.body
    if not isinstance(body, dict) or "serverTime" not in body:
        return answer
    scale = 1000 if body["serverTime"] > 10**14 else 1
    return replace(answer, body={**body, "serverTime": body["serverTime"] + offset_ms * scale})


def without_open_row(answer: RestAnswer, from_ms: int, until_ms: float) -> RestAnswer:
    """Klines without the one whose end lies in a span: it is open for who answers and closed for who asks."""
    if answer.klines is None or not isinstance(answer.body, list):
        return answer
    symbol, interval, rows = answer.klines
    # Only the newest row can be open.
    if not rows or not from_ms <= rows[-1].close_time_ms < until_ms:
        return answer
    return replace(answer, body=answer.body[:-1], klines=(symbol, interval, rows[:-1]))


def _skewed(request: RestRequest, answer: RestAnswer, offset_ms: int) -> RestAnswer:
    changed = with_server_time(answer, offset_ms)
    return (
        changed
        if changed is not answer
        else without_open_row(answer, request.now_ms, request.now_ms + offset_ms)
    )
