"""What the exchange itself says it has issued: asked when a run begins to listen and when it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import quote

from cryptostream.embedded.evidence import Series, clock
from cryptostream.embedded.source import get_json
from shared.errors import ExchangeUnavailable
from shared.intervals import INTERVAL_MS

_TIMEOUT_S: Final = 5.0
# Two good clocks do not drift so far apart in a run; what a round trip may hide comes on top.
_CLOCK_TOLERANCE_MS: Final = 2_000
# An event comes so much later than it was, at the most: newer ones vouch for a clock.
_EVENT_AGE_MS: Final = 10_000
# A passing 5xx is no dead exchange.
_ATTEMPTS: Final = 3
_PAUSE_S: Final = 1.0
# One answer of /ticker/24hr has newest id and best prices of as many symbols for weight 40, of 20 for 2.
_SYMBOLS_AT_ONCE: Final = 100

Answer = TypeVar("Answer")
Get = Callable[[str, float], Any]
# A side that nobody is on is None.
Best = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class ExchangeWord:
    """An answer.

    Attributes:
        asked_ms: when, by the host's clock.
        time_ms: the exchange's clock; None if it did not say.
        time_asked_s, time_heard_s: when it was asked and said so, by a clock that is never set.
        newest_trades: id of the newest trade by symbol; a symbol without trades is left out.
        best: best bid and ask by symbol.
        newest_bars: open time of the newest closed bar that the exchange has; only a recording has no clock
            to tell it.
        newest_ms: of a recording: by stream, the receive time of its newest frame.
        unreadable: of a recording: by stream, frames that are nothing to store.
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


def ask_exchange(rest_url: str, symbols: Sequence[str], get: Get = get_json) -> ExchangeWord:
    """Weight 3 for up to 20 symbols, 41 for 100; what fails is tried three times."""
    asked_ms = _host_ms()
    server_ms: int | None = None
    sent_s = heard_s = 0.0
    problem: str | None = None
    trades: dict[str, int] = {}
    best: dict[str, Best] = {}
    try:
        server_ms, sent_s, heard_s = _patiently(lambda: _time(rest_url, get))
        for at in range(0, len(symbols), _SYMBOLS_AT_ONCE):
            names = quote('["' + '","'.join(symbols[at : at + _SYMBOLS_AT_ONCE]) + '"]')
            url = f"{rest_url}/api/v3/ticker/24hr?symbols={names}"
            for symbol, newest, prices in _patiently(lambda url=url: _day(get(url, _TIMEOUT_S))):  # type: ignore[misc]
                if newest >= 0:
                    trades[symbol] = newest
                if prices is not None:
                    best[symbol] = prices
    except ExchangeUnavailable as error:
        problem = str(error)
    return ExchangeWord(
        asked_ms,
        server_ms,
        trades,
        best,
        problem=problem,
        time_asked_s=sent_s,
        time_heard_s=heard_s,
    )


def held_clock(
    first: ExchangeWord, last: ExchangeWord, newest_ms: int | None
) -> tuple[int | None, str | None]:
    """Up to when the exchange has to have issued what it has, and how its clock contradicts itself.

    Its word at the end alone would hide all that was issued since the time it names.

    Args:
        first: its word when the run began.
        newest_ms: time of the newest event that was known when it was asked at the end.

    Returns:
        The clock as it was said, or where it contradicts the one of before, carried on by a clock that is
        never set, or the events, the latest of them; and why it is not believed. None where nobody said.
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
    vouched = newest_ms is not None and last.time_ms <= newest_ms + _EVENT_AGE_MS
    if last.time_ms > latest_ms + _CLOCK_TOLERANCE_MS and not vouched:
        return last.time_ms, _contradiction(last.time_ms, latest_ms)
    return last.time_ms, None


def closed_bars(
    rest_url: str, series: Series, first_ms: int, last_ms: int, get: Get = get_json
) -> list[int] | None:
    """Open times of the bars that the exchange has from one to another, at most 1,000; weight 2.

    None: it does not say.
    """
    counts = counts_of_bars(rest_url, series, first_ms, last_ms, get)
    return None if counts is None else list(counts)


def counts_of_bars(
    rest_url: str, series: Series, first_ms: int, last_ms: int, get: Get = get_json
) -> dict[int, int] | None:
    """As `closed_bars`, and how many trades each of them counts, by open time."""
    symbol = quote(series.symbol)
    url = (
        f"{rest_url}/api/v3/klines?symbol={symbol}&interval={series.interval}"
        f"&startTime={first_ms}&endTime={last_ms}&limit=1000"
    )
    try:
        return _patiently(lambda: {int(row[0]): int(row[8]) for row in get(url, _TIMEOUT_S)})
    except ExchangeUnavailable:
        return None


def word_of_recording(state: dict[str, Any]) -> ExchangeWord:
    """That of the simulator that plays a recording (`/simulator/state`)."""
    bars = {Series(symbol, "klines", interval): open_ms for symbol, interval, open_ms in state["newest_bars"]}
    return ExchangeWord(
        _host_ms(),
        int(state["now_ms"]),
        newest_trades=state["newest_trades"],
        newest_bars=bars,
        newest_ms=state["newest_ms"],
        unreadable=state["unreadable"],
    )


class Asking:
    """A question on a thread of its own: the run goes on meanwhile.

    Args:
        before: stands until the answer is there.

    Attributes:
        answer: None until it is there.
    """

    def __init__(self, ask: Callable[[], ExchangeWord], before: ExchangeWord | None = None) -> None:
        self.answer = before
        self._ask = ask
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self.answer = self._ask()
        except ExchangeUnavailable as error:
            self.answer = ExchangeWord(_host_ms(), problem=str(error))


def last_closed_ms(interval: str, time_ms: int) -> int:
    """Open time of the last bar that has closed by then."""
    step = INTERVAL_MS[interval]
    return time_ms // step * step - step


def _time(rest_url: str, get: Get) -> tuple[int, float, float]:
    """The exchange's clock, and when it was asked and said so."""
    sent_s = time.monotonic()
    server_ms = int(get(f"{rest_url}/api/v3/time", _TIMEOUT_S)["serverTime"])
    return server_ms, sent_s, time.monotonic()


def _contradiction(said_ms: int, known_ms: int) -> str:
    return f"it says {clock(said_ms)}; by its word of before and by its events it is {clock(known_ms)}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _day(body: Any) -> list[tuple[str, int, Best | None]]:
    return [
        (
            str(row["symbol"]),
            int(row["lastId"]),
            best_of(row.get("bidPrice"), row.get("askPrice")),
        )
        for row in body
    ]


def best_of(bid: Any, ask: Any) -> Best | None:
    """Best prices as numbers; None if nobody offers anything. The exchange says 0 of an empty side."""
    best = (float(bid or 0) or None, float(ask or 0) or None)
    return None if best == (None, None) else best


def _patiently(ask: Callable[[], Answer]) -> Answer:
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
