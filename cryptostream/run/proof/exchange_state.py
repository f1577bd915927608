"""Queries what the exchange has issued, when a run begins to listen and when it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from cryptostream.run.proof.checks import Series, utc_text
from cryptostream.run.source import get_json
from producers.exchanges.rest_port import Audit, Best, Query
from shared.errors import ExchangeUnavailable
from shared.intervals import INTERVAL_MS

_TIMEOUT_S: Final = 5.0
# More than two good clocks drift apart in a run; the round trip comes on top.
_CLOCK_TOLERANCE_MS: Final = 2_000
# The longest delay of an event: newer ones confirm a clock.
_EVENT_AGE_MS: Final = 10_000
# A transient 5xx does not mean that the exchange is down.
_ATTEMPTS: Final = 3
_PAUSE_S: Final = 1.0

Answer = TypeVar("Answer")
Get = Callable[[str, float], Any]


@dataclass(frozen=True, slots=True)
class ExchangeState:
    """What the exchange has issued at one time.

    Attributes:
        asked_ms: when it was asked, by the host's clock.
        time_ms: the exchange's clock; None if it did not answer.
        time_asked_s, time_heard_s: monotonic times of the request for the clock and of its answer.
        newest_trades: id of the newest trade by symbol; a symbol without trades is left out.
        best: best bid and ask by symbol.
        newest_bars: of a recording, open time of the newest closed bar; otherwise the clock tells it.
        newest_ms: of a recording, by stream: receive time of its newest frame.
        unreadable: of a recording, by stream: frames that cannot be stored.
        problem: why there is no answer; None if there is one.
    """

    asked_ms: int
    time_ms: int | None = None
    newest_trades: dict[str, int] = field(default_factory=dict)
    best: dict[str, Best] = field(default_factory=dict)
    newest_bars: dict[Series, int] = field(default_factory=dict)
    newest_ms: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, int] = field(default_factory=dict)
    problem: str | None = None
    time_asked_s: float = 0.0
    time_heard_s: float = 0.0


def query_exchange(audit: Audit, rest_url: str, symbols: Sequence[str], get: Get = get_json) -> ExchangeState:
    """Ask a REST host. Each request has three attempts."""
    asked_ms = _host_ms()
    server_ms: int | None = None
    sent_s = heard_s = 0.0
    problem: str | None = None
    trades: dict[str, int] = {}
    best: dict[str, Best] = {}
    try:
        server_ms, sent_s, heard_s = _with_retries(lambda: _time(audit.clock(rest_url), get))
        for query in audit.newest(rest_url, symbols):
            for symbol, newest, prices in _with_retries(partial(_asked, query, get)):
                if newest >= 0:
                    trades[symbol] = newest
                if prices is not None:
                    best[symbol] = prices
    except ExchangeUnavailable as error:
        problem = str(error)
    return ExchangeState(
        asked_ms, server_ms, trades, best, problem=problem, time_asked_s=sent_s, time_heard_s=heard_s
    )


def reconciled_clock(
    first: ExchangeState, last: ExchangeState, newest_ms: int | None
) -> tuple[int | None, str | None]:
    """The exchange's clock at the end of a run, and how it contradicts what was known before.

    A clock that lags would hide everything that was issued after its time.

    Args:
        first: the state when the run began.
        newest_ms: time of the newest event that was known when the exchange was asked at the end.

    Returns:
        The clock of `last`, or the latest of the known times if it contradicts them; and the contradiction.
        None if the exchange did not answer.
    """
    if last.time_ms is None:
        return None, None
    proofs = [] if newest_ms is None else [newest_ms]
    latest_ms = last.time_ms
    if first.time_ms is not None:
        proofs.append(first.time_ms + _ms(last.time_asked_s - first.time_heard_s))
        latest_ms = first.time_ms + _ms(last.time_heard_s - first.time_asked_s)
    if last.time_ms < max(proofs, default=0) - _CLOCK_TOLERANCE_MS:
        return max(latest_ms, *proofs), _contradiction(last.time_ms, max(proofs))
    confirmed = newest_ms is not None and last.time_ms <= newest_ms + _EVENT_AGE_MS
    if last.time_ms > latest_ms + _CLOCK_TOLERANCE_MS and not confirmed:
        return last.time_ms, _contradiction(last.time_ms, latest_ms)
    return last.time_ms, None


def trade_counts(  # noqa: PLR0917
    audit: Audit, rest_url: str, series: Series, first_ms: int, last_ms: int, get: Get = get_json
) -> dict[int, int] | None:
    """How many trades the exchange's bars from one open time to another count, at most 1,000 bars.

    None if it does not answer.
    """
    query = audit.trade_counts(rest_url, series.symbol, series.interval or "", first_ms, last_ms)
    try:
        return _with_retries(partial(_asked, query, get))
    except ExchangeUnavailable:
        return None


def recording_state(state: dict[str, Any]) -> ExchangeState:
    """The state of the simulator that plays a recording (`/simulator/state`)."""
    bars = {Series(symbol, "klines", interval): open_ms for symbol, interval, open_ms in state["newest_bars"]}
    return ExchangeState(
        _host_ms(),
        int(state["now_ms"]),
        newest_trades=state["newest_trades"],
        newest_bars=bars,
        newest_ms=state["newest_ms"],
        unreadable=state["unreadable"],
    )


class BackgroundQuery:
    """A query on its own thread, so that the run continues meanwhile.

    Attributes:
        answer: `before` until the query has ended.
    """

    def __init__(self, ask: Callable[[], ExchangeState], before: ExchangeState | None = None) -> None:
        self.answer = before
        self._ask = ask
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self.answer = self._ask()
        except ExchangeUnavailable as error:
            self.answer = ExchangeState(_host_ms(), problem=str(error))


def last_closed_ms(interval: str, time_ms: int) -> int:
    """Open time of the last bar that has closed by this time."""
    step = INTERVAL_MS[interval]
    return time_ms // step * step - step


def _time(query: Query[int], get: Get) -> tuple[int, float, float]:
    """The exchange's clock, and the monotonic times of request and answer."""
    sent_s = time.monotonic()
    server_ms = _asked(query, get)
    return server_ms, sent_s, time.monotonic()


def _asked(query: Query[Answer], get: Get) -> Answer:
    return query.read(get(query.url, _TIMEOUT_S))


def _contradiction(said_ms: int, known_ms: int) -> str:
    return f"it says {utc_text(said_ms)}; by its earlier answer and by its events it is {utc_text(known_ms)}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _with_retries(ask: Callable[[], Answer]) -> Answer:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return ask()
        except ExchangeUnavailable:
            if attempt == _ATTEMPTS:
                raise
            time.sleep(_PAUSE_S)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ExchangeUnavailable(f"the exchange's answer cannot be read ({error})") from None
    raise AssertionError("unreachable")


def _host_ms() -> int:
    return time.time_ns() // 1_000_000
