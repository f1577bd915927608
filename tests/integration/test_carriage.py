"""Streams that the exchange has and does not send: named, filled over REST, sought on another connection."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cryptostream.processes.server import free_port
from tests.integration.run_command import ROOT, Run, count, rows, until
from tests.integration.stream_relay import StreamRelay, relaying
from tests.integration.test_run import start

__all__ = ["start"]  # the fixture

SYMBOL = "BTCUSDC"
LIVE = ("--source", "live", "--broker", "memory", "--symbols", SYMBOL, "--intervals", "1s,1m", "--data-dir")


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A simulated exchange on a port, and the log of what it issues."""
    port, log = free_port(), tmp_path / "issued.jsonl"
    words = ("simulate", "--port", str(port), "--symbols", SYMBOL, "--log", str(log))
    process = subprocess.Popen(
        [sys.executable, "-m", "cryptostream.cli", *words], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}/api/v3/ping")[0] == 200, "the exchange answers")
        yield port, log
    finally:
        process.terminate()
        process.wait(20)


def answers(url: str) -> tuple[int, str]:
    """Status and text; status 0 while nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def assert_stored_without_a_hole(database: Path) -> None:
    ids = [row["trade_id"] for row in rows(database, "SELECT trade_id FROM trade ORDER BY trade_id")]
    assert ids == list(range(ids[0], ids[-1] + 1))
    opens = [
        row["time_ns"] // 10**9
        for row in rows(database, "SELECT time_ns FROM kline WHERE interval = '1s' ORDER BY time_ns")
    ]
    assert opens == list(range(opens[0], opens[-1] + 1))


def test_a_stream_that_never_opens_is_named_and_filled_over_rest(
    start: Callable[..., Run], tmp_path: Path, exchange: tuple[int, Path]
) -> None:
    port, _ = exchange
    run = start(
        *LIVE,
        "data",
        BINANCE_REST_URL=f"http://127.0.0.1:{port}",
        BINANCE_WS_URL="ws://127.0.0.1:9",
        WARMUP_BARS="10",
    )
    database = tmp_path / "data" / "cryptostream.db"
    until(lambda: run.said.count("not carried since") >= 4, f"all streams are named\n{run.said}", 90)
    until(lambda: count(database, "trade") > 5, f"trades come over REST\n{run.said}", 90)
    bars = count(database, "kline")
    until(lambda: count(database, "kline") > bars + 10, f"bars come over REST\n{run.said}", 90)
    run.process.send_signal(signal.SIGINT)
    run.wait(90)
    for stream in ("klines 1s", "trades", "depth", "quotes"):
        assert f"{SYMBOL} {stream}: not carried since" in run.said
    assert "no connection" in run.said
    assert "NOT COMPLETE" in run.said
    assert_stored_without_a_hole(database)
    # The run's broker is gone with it: the store must tell the same.
    words = (sys.executable, "-m", "cryptostream.cli", "ledger", "--data-dir", str(database.parent))
    ledger = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ledger.returncode == 1, ledger.stdout + ledger.stderr
    for stream in ("klines 1s", "trades", "depth", "quotes"):
        assert f"not carried now: {SYMBOL} {stream} since" in ledger.stdout


@pytest.fixture
def relay(exchange: tuple[int, Path]) -> Iterator[StreamRelay]:
    with relaying(f"ws://127.0.0.1:{exchange[0]}") as running:
        yield running


def test_trades_that_die_while_bars_tick_are_filled_and_another_connection_is_opened(
    start: Callable[..., Run], tmp_path: Path, exchange: tuple[int, Path], relay: StreamRelay
) -> None:
    port, log = exchange
    run = start(
        *LIVE,
        "data",
        BINANCE_REST_URL=f"http://127.0.0.1:{port}",
        BINANCE_WS_URL=relay.url,
        WARMUP_BARS="10",
    )
    database = tmp_path / "data" / "cryptostream.db"
    until(lambda: count(database, "trade") > 5, f"trades are stored\n{run.said}", 90)
    relay.withheld = frozenset(("@trade",))
    until(lambda: "trades: not carried since" in run.said, f"trades are missed\n{run.said}", 90)
    until(lambda: relay.opened >= 2, f"another connection is opened\n{run.said}", 90)
    before = count(database, "trade")
    until(lambda: count(database, "trade") > before, f"trades come over REST\n{run.said}", 90)
    relay.withheld = frozenset()
    until(lambda: "trades: carried again" in run.said, f"trades come again\n{run.said}", 90)
    run.process.send_signal(signal.SIGINT)
    assert run.wait(90) == 0, run.said
    assert "1s: not carried" not in run.said, "the other streams have not suffered"
    assert_stored_without_a_hole(database)
    stored = {row["trade_id"] for row in rows(database, "SELECT trade_id FROM trade")}
    issued = {entry["trade_id"] for entry in entries(log) if entry["kind"] == "trade"}
    assert stored >= {trade_id for trade_id in issued if min(stored) <= trade_id <= max(stored)}


def entries(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
