"""Displays a run: a live screen on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.live import Live

from cryptostream.output import price
from cryptostream.run.screen import duration, grouped_services, ledger_report, render
from cryptostream.run.view import InstrumentView, LedgerRow, RunView
from shared.shown import masked, shown, shown_lines

_SCREEN_PERIOD_S: Final = 0.25  # 4 updates a second at most
_STATUS_PERIOD_S: Final = 10.0
_LINES_KEPT: Final = 200
_REPORT_WIDTH: Final = 110


class Display:
    """Shows events at once and the state periodically. `say` may be called from any thread.

    Args:
        screen: use the alternate screen of the terminal; otherwise every event is one line of output.
    """

    def __init__(self, console: Console, *, screen: bool) -> None:
        self._console = console
        self._screen = screen
        self._live: Live | None = None
        self._next_s = 0.0
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._unsaid: deque[str] = deque(maxlen=_LINES_KEPT)
        self._lock = threading.Lock()
        self._failure: OSError | None = None

    @property
    def reader_gone(self) -> bool:
        """The program that read our output has ended."""
        return isinstance(self._failure, BrokenPipeError)

    def open(self) -> None:
        """Open the live screen, if there is a terminal."""
        if self._screen:
            self._live = Live(console=self._console, screen=True, auto_refresh=False)
            self._show(self._live.start)

    def close(self) -> None:
        """Close the live screen; the last events stay readable."""
        if self._live is not None:
            self._show(self._live.stop)
            self._live = None
            for line in list(self._unsaid):
                self._print(line)
            self._unsaid.clear()

    def say(self, text: str) -> None:
        """Show an event."""
        line = f"{datetime.now(UTC):%H:%M:%S} {shown(text)}"
        with self._lock:
            self._lines.append(line)
            if self._live is None:
                self._print(line)
            else:
                self._unsaid.append(line)

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)

    def update(self, now_s: float, make_view: Callable[[], RunView]) -> None:
        """Show the state if it is due."""
        if now_s < self._next_s:
            return
        if self._live is not None:
            self._next_s = now_s + _SCREEN_PERIOD_S
            live, (width, height) = self._live, self._console.size
            self._show(lambda: live.update(render(make_view(), width, height), refresh=True))
        else:
            if self._next_s:
                self.say(status_line(make_view()))
            self._next_s = now_s + _STATUS_PERIOD_S

    def report(self, ledger: tuple[LedgerRow, ...]) -> None:
        """The completeness ledger at the end."""
        if ledger:
            # A narrow terminal wraps lines rather than cutting figures; a pipe has no width.
            self._console.width = max(self._console.width, _REPORT_WIDTH)
            self._show(lambda: self._console.print(ledger_report(ledger)))

    def conclude(self, text: str) -> None:
        """Print a line of the outcome, without a time."""
        self._print(text)

    def _print(self, line: str) -> None:
        self._show(
            lambda: self._console.print(
                masked(shown_lines(line)), markup=False, highlight=False, soft_wrap=True
            )
        )

    def _show(self, show: Callable[[], object]) -> None:
        """Stop showing after an error: a closed terminal or a full disk must not end the run."""
        if self._failure is not None:
            return
        try:
            show()
        except OSError as failure:
            self._failure = failure


def status_line(view: RunView) -> str:
    """The state in one line, for logs and pipes."""
    expected = sum(row.expected for row in view.ledger)
    waiting = sum(row.lost for row in view.ledger)
    rate = sum(s.messages_per_s for s in view.services if s.name.startswith("producer"))
    lag = sum(line.lag_messages for line in grouped_services(view.services))
    prices = "  ".join(_quote(instrument) for instrument in view.instruments)
    return (
        f"{view.phase}, up {duration(view.uptime_s)}: {rate:,.0f} msg/s, lag {lag:,}, "
        f"ledger {expected - waiting:,}/{expected:,}{'  ' if prices else ''}{prices}"
    )


def _quote(instrument: InstrumentView) -> str:
    # Of the shortest interval with an RSI, which moves first.
    rsi = next((f" RSI {bar.interval} {bar.rsi:.0f}" for bar in instrument.bars if bar.rsi is not None), "")
    return f"{instrument.symbol} {price(instrument.last_price, instrument.decimals)}{rsi}"
