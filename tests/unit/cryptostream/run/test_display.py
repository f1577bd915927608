"""A terminal that goes away in the middle of a run."""

from __future__ import annotations

import errno
import io
import os
import signal
from collections.abc import Iterator

import pytest

from cryptostream.output import PlainConsole
from cryptostream.run.display import Display
from cryptostream.run.shutdown import StopRequest
from cryptostream.run.view import LedgerRow
from shared.command import stop_signals


class Gone(io.StringIO):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, _text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("screen", [True, False])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EPIPE])
def test_a_terminal_that_is_gone_ends_nothing(number: int, *, screen: bool) -> None:
    display = Display(PlainConsole(file=Gone(number)), screen=screen)
    display.open()
    display.say("an event")
    display.close()
    display.report((LedgerRow("BTCUSDC", "klines", "1m", expected=1, stored=1, backfilled=0),))
    display.conclude("complete")
    # A pipe that nobody reads is no terminal that was closed: a run for `head` ends in order.
    assert display.reader_gone == (number == errno.EPIPE)


def test_no_password_is_shown() -> None:
    shown = io.StringIO()
    Display(PlainConsole(file=shown, width=200), screen=False).say("store: InfluxDB http://u:s3cret@host:1")
    assert shown.getvalue().endswith("store: InfluxDB http://***@host:1\n")


@pytest.fixture
def closed_terminals() -> Iterator[None]:
    """SIGHUP as a terminal's processes have it, whatever `nohup` did to this one."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("closed_terminals")
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_each_of_these_signals_asks_for_an_orderly_stop(number: signal.Signals) -> None:
    with StopRequest() as stop:
        stop.begin()
        os.kill(os.getpid(), number)
        assert stop.asked
        assert not stop.hastened


@pytest.mark.usefixtures("closed_terminals")
def test_nohup_is_obeyed() -> None:
    assert signal.SIGHUP in stop_signals()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert signal.SIGHUP not in stop_signals()
    with StopRequest() as stop:
        stop.begin()
        os.kill(os.getpid(), signal.SIGHUP)
        assert not stop.asked
