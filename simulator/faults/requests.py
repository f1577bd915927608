"""The faults of REST requests and WebSocket handshakes. Pure: the server waits and cuts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from simulator.faults.kinds import GARBAGE_SHAPES, SERVER_ERRORS
from simulator.faults.schedule import Draw, Occasions, Strike, covers, spans
from simulator.faults.script import Fault
from simulator.protocols.port import JSON, RestAnswer, RestManners, RestRequest, Verbatim

_PAGE: Final = b"<html><head><title>%s</title></head><body><center><h1>%s</h1></center></body></html>\r\n"
_HTML: Final = "text/html"
# "rows" are of the wrong shape for every endpoint that answers with a list, and a list for the others.
_GARBAGE: Final[Mapping[str, tuple[bytes, str]]] = {
    "html": (_PAGE % (b"Welcome", b"Please wait"), _HTML),
    "text": (b"upstream connect error", JSON),
    "null": (b"null", JSON),
    "object": (b'{"data":"none"}', JSON),
    "rows": (b'[["x",null],{"id":"one"},7]', JSON),
}


class Disturbance(NamedTuple):
    """A fault of one request.

    Attributes:
        first: it begins a firing.
        instead: the whole answer; None: the exchange's own.
        hold_s: real seconds until the answer is sent.
        cut: half of the body is sent, then the connection breaks.
        age_ms: the exchange answers as of so long ago.
        dead: the connection breaks without an answer.
        offset_ms: error of the time in the answer.
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
    """Decides requests by endpoint, symbol and number of requests before, not by the time of arrival."""

    def __init__(self, faults: Sequence[Fault], seed: int, begin_ms: int, manners: RestManners) -> None:
        self._seed = seed
        self._manners = manners
        self._armed: list[tuple[Fault, Draw, Occasions]] = []
        self._skews: list[tuple[Fault, list[tuple[int, float]]]] = []
        self._refusals: list[tuple[Fault, list[tuple[int, float]]]] = []
        self._seen: Counter[str] = Counter()
        for fault in faults:
            self.add(fault, begin_ms)

    def add(self, fault: Fault, begin_ms: int) -> None:
        """Add a fault whose times count from `begin_ms`."""
        draw = Draw(self._seed, fault)
        if fault.declared.place == "request":
            # There the duration is how long an answer is held.
            lasting = fault.kind != "rest_timeout"
            self._armed.append((fault, draw, Occasions(fault, draw, begin_ms, lasting=lasting)))
        elif fault.declared.place == "handshake":
            self._refusals.append((fault, spans(fault, draw, begin_ms)))
        elif fault.kind == "clock_skew":
            self._skews.append((fault, spans(fault, draw, begin_ms)))

    def refused_handshake(self, now_ms: int) -> Fault | None:
        """The fault that refuses a new connection now; None: it may open. Open ones are not touched."""
        return next((fault for fault, covered in self._refusals if covers(covered, now_ms)), None)

    def meet(self, request: RestRequest) -> Disturbance | None:
        """Decide one request of a known endpoint."""
        symbol = request.symbol
        series = f"{request.path} {symbol}"
        self._seen[series] += 1
        number = self._seen[series]
        for fault, draw, occasions in self._armed:
            if not self._meant(fault, request.path, symbol):
                continue
            strike = occasions.meet(request.now_ms, series, number)
            if strike is not Strike.NO:
                drawn = draw.number(series + "#", number)
                return self._disturbed(fault, strike is Strike.FIRST, request, drawn)
        return None

    def skew(self, request: RestRequest, answer: RestAnswer) -> tuple[RestAnswer, Fault | None]:
        """The answer of a server with a wrong clock, and the fault.

        By a clock that is ahead the open bar is finished: it is left out, as by a slow database
        (BINANCE_SPOT.md §9), so that clients that trust `serverTime` never get half a bar.
        """
        for fault, covered in self._skews:
            if covers(covered, request.now_ms):
                offset_ms = round(fault.options["offset_ms"])
                changed = self._skewed(request, answer, offset_ms)
                if changed is not answer:
                    return changed, fault
        return answer, None

    def _meant(self, fault: Fault, path: str, symbol: str) -> bool:
        if path not in self._manners.only_paths.get(fault.kind, (path,)):
            return False
        return (not fault.paths or path in fault.paths) and (not fault.symbols or symbol in fault.symbols)

    def _disturbed(self, fault: Fault, first: bool, request: RestRequest, draw: int) -> Disturbance:
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
                instead = self._manners.error(options["status"])
            case "rest_cut":
                return plain._replace(cut=True)
            case "rest_5xx":
                status = options["status"] or SERVER_ERRORS[draw % len(SERVER_ERRORS)]
                instead = self._manners.error(status)
            case "rest_garbage":
                shape = options["shape"] or GARBAGE_SHAPES[draw % len(GARBAGE_SHAPES)]
                instead = Verbatim(200, *_GARBAGE[shape])
            case "historical_trades_refused":
                # Like the market-data-only host, which lacks the endpoint (BINANCE_SPOT.md §7.1).
                instead = Verbatim(404, b"", "text/plain")
            case _:
                instead = self._manners.limited(fault.kind, options["retry_after"], request.now_ms)
        return plain._replace(instead=instead)

    def _skewed(self, request: RestRequest, answer: RestAnswer, offset_ms: int) -> RestAnswer:
        changed = self._manners.with_server_time(answer, offset_ms)
        if changed is not answer:
            return changed
        return self._manners.without_open_row(answer, request.now_ms, request.now_ms + offset_ms)
