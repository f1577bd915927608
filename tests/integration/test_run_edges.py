"""A whole run at the edges: a terminal that is closed, one without Unicode, a proxy, a reader that goes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cryptostream.data_dir import STORE_FILE
from tests.integration.run_command import ROOT, count, until

WORDS = ("--source", "simulator", "--broker", "memory", "--symbols", "BTCUSDC", "--intervals", "1s")
# A port that nobody serves: whatever goes to the proxy fails.
PROXY = "http://127.0.0.1:9"
_OWNING = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
HOSTILE = {
    "http_proxy": PROXY,
    "https_proxy": "socks5://127.0.0.1:9",
    "ALL_PROXY": PROXY,
    "no_proxy": "",
    "PYTHONIOENCODING": "ascii",
    "HOME": "",
    "XDG_CACHE_HOME": "",
    "COLUMNS": "x",
}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "cryptostream.cli", "run", *WORDS, "--data-dir", "run", *words]


def environment(**more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KAFKA_")}
    return inherited | {"PYTHONPATH": str(ROOT), "WARMUP_BARS": "10"} | more


def stored(directory: Path) -> int:
    return count(directory / "run" / STORE_FILE, "trade")


@pytest.fixture
def hangups() -> Iterator[None]:
    """SIGHUP as a terminal's processes have it, whatever `nohup` did to this one."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangups")
def test_a_terminal_that_is_closed_drains_the_run(tmp_path: Path) -> None:
    master, slave = os.openpty()
    started = subprocess.Popen(
        # Who owns the terminal hears of its end.
        [sys.executable, "-c", _OWNING, *command()],
        cwd=tmp_path,
        env=environment(TERM="xterm"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    try:
        os.close(slave)
        until(lambda: _drained(master) and stored(tmp_path) > 0, "the first trades")
        os.close(master)
        assert started.wait(60) == 1, "the outcome can be shown to nobody"
        log = (tmp_path / "run" / "logs" / "producers.log").read_text(encoding="utf-8")
        assert "records delivered" in log, "the producers were stopped in order"
    finally:
        started.kill()
        started.wait()


def _drained(master: int) -> bool:
    """Read what the terminal shows, so that it goes on."""
    os.set_blocking(master, False)
    try:
        while os.read(master, 65_536):
            pass
    except BlockingIOError:
        return True
    return True


def test_the_environment_does_not_reach_the_run(tmp_path: Path) -> None:
    kept = environment(**HOSTILE)
    kept.pop("NO_PROXY", None)
    done = subprocess.run(
        command("--no-ui", "--duration", "3"),
        cwd=tmp_path,
        env=kept,
        capture_output=True,
        check=False,
        timeout=120,
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    assert "complete: " in said
    assert "unexpected" not in said
    assert stored(tmp_path) > 0


def test_a_reader_that_goes_ends_the_run_in_order(tmp_path: Path) -> None:
    started = subprocess.Popen(
        command("--no-ui"), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert started.stdout is not None and started.stderr is not None
        until(lambda: stored(tmp_path) > 0, "the first trades")
        started.stdout.close()
        assert started.wait(90) == 0
        assert b"unexpected" not in started.stderr.read()
        log = (tmp_path / "run" / "logs" / "producers.log").read_text(encoding="utf-8")
        assert "records delivered" in log, "the producers were stopped in order"
    finally:
        started.kill()
        started.wait()


def test_a_metrics_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("", 0)) as wide:
        for port in (taken.getsockname()[1], wide.getsockname()[1]):
            done = subprocess.run(
                [sys.executable, "-m", "producers", "--memory-broker"],
                cwd=tmp_path,
                env=environment(METRICS_PORT=str(port), KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9"),
                capture_output=True,
                check=False,
                timeout=60,
            )
            said = done.stderr.decode()
            assert done.returncode == 2
            assert said == (
                f"error: METRICS_PORT: {port} cannot be used (Address already in use); "
                "name a free one or unset it\n"
            )


@pytest.mark.usefixtures("hangups")
def test_hangup_is_a_stop_for_each_service(tmp_path: Path) -> None:
    started = subprocess.Popen(
        [sys.executable, "-m", "simulator", "--port", "0"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
    )
    try:
        assert started.stdout is not None
        assert b"listening" in started.stdout.readline()
        started.send_signal(signal.SIGHUP)
        assert started.wait(20) == 0
    finally:
        started.kill()
        started.wait()
