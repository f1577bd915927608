"""What a run says at its end, of recordings and of exchanges that are not as they should be."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.run_command import ROOT, Run, count, rows, runs_in, until

FEEDS = ROOT / "tests" / "feeds"
STORE = Path("data") / "cryptostream.db"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    with runs_in(tmp_path) as start:
        yield start


@pytest.fixture
def replay(start: Callable[..., Run]) -> Callable[..., Run]:
    def replay(file: Path, *words: str) -> Run:
        common = ("--speed", "0", "--intervals", "1m", "--broker", "memory", "--data-dir", "data")
        return start("--source", str(file), *common, *words)

    return replay


@contextmanager
def exchange(*words: str) -> Iterator[str]:
    """A simulated exchange that is not the run's own; gives its host and port."""
    command = [sys.executable, "-m", "simulator", "--symbols", "BTCUSDC", *words]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["rest_url"].removeprefix("http://")
    finally:
        process.terminate()
        process.wait(20)


def live(host: str, stream_host: str) -> dict[str, str]:
    urls = {"BINANCE_REST_URL": f"http://{host}", "BINANCE_WS_URL": f"ws://{stream_host}"}
    return {**urls, "WARMUP_BARS": "50"}


def at_the_end(run: Run) -> str:
    """What was said after the table."""
    return run.said.partition("duplicates")[2] or run.said


def test_odd_trades_are_told_and_the_good_ones_stored(replay: Callable[..., Run], tmp_path: Path) -> None:
    run = replay(FEEDS / "odd-trades.jsonl")
    assert run.wait() == 1, run.said
    stored = rows(tmp_path / STORE, "SELECT trade_id FROM trade ORDER BY trade_id")
    assert [row["trade_id"] for row in stored] == [1, 2, 5, 12, 15, 16, 17, 18]
    assert "BTCUSDT trades: 10 missing: trade ids 3–4, 6–11, 13–14" in at_the_end(run)
    assert "NOT COMPLETE" in run.said


def test_a_recording_of_quotes_alone_stores_its_quotes(replay: Callable[..., Run], tmp_path: Path) -> None:
    run = replay(FEEDS / "quotes-only.jsonl")
    assert run.wait() == 0, run.said
    stored = rows(tmp_path / STORE, "SELECT bid_price, ask_price FROM quote ORDER BY time_ns")
    assert len(stored) == 80
    assert stored[-1] == {"bid_price": None, "ask_price": 2.0}, "a side may become empty"


def test_a_recording_that_was_cut_is_played_up_to_the_cut(replay: Callable[..., Run], tmp_path: Path) -> None:
    lines = (FEEDS / "small-prices-unicode.jsonl").read_bytes()
    cut = tmp_path / "cut.jsonl.gz"
    # Stored, not deflated: how much of it can be read does not depend on the packer.
    cut.write_bytes(gzip.compress(lines, compresslevel=0, mtime=0)[: len(lines) // 2])
    run = replay(cut)
    assert run.wait() == 0, run.said
    assert "ends in the middle of its packing; read up to there" in run.said
    stored = rows(tmp_path / STORE, "SELECT symbol, time_ns, close FROM kline ORDER BY time_ns")
    assert 3 <= len(stored) <= 6
    assert stored[0]["symbol"] == "币安人生USDT" and stored[0]["close"] == 0.00000886


def test_a_simulator_that_dies_in_a_replay_ends_the_run(start: Callable[..., Run]) -> None:
    run = start("--source", str(FEEDS / "quotes-only.jsonl"), "--broker", "memory", "--data-dir", "data")
    until(lambda: run.child("consumers") is not None, "it runs")
    simulator = run.child("simulator")
    assert simulator is not None
    simulator.kill()
    assert run.wait(60) == 1
    assert "error: simulator killed by signal 9" in run.said


def test_a_stream_that_never_opens_is_not_complete(start: Callable[..., Run]) -> None:
    with exchange() as host:
        run = start(
            *("--source", "live", "--symbols", "BTCUSDC", "--intervals", "1s,1m"),
            *("--broker", "memory", "--data-dir", "data", "--duration", "8"),
            **live(host, "127.0.0.1:9"),
        )
        assert run.wait() == 1, run.said
    assert "BTCUSDC trades: " in at_the_end(run)
    assert "NOT COMPLETE" in run.said


def test_an_exchange_that_does_not_answer_at_the_end_leaves_it_unknown(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    with exchange() as host:
        run = start(
            *("--source", "live", "--symbols", "BTCUSDC", "--intervals", "1s,1m"),
            *("--broker", "memory", "--data-dir", "data", "--duration", "20"),
            **live(host, host),
        )
        until(lambda: count(tmp_path / STORE, "trade") > 0, f"it stores\n{run.said}")
        body = json.dumps({"faults": [{"kind": "rest_5xx", "from": 0, "to": 600}]}).encode()
        with urllib.request.urlopen(f"http://{host}/simulator/faults", body, timeout=60) as answer:
            assert answer.status == 200
        assert run.wait() == 1, run.said
    assert "BTCUSDC trades: unknown after" in at_the_end(run)


def test_an_undisturbed_run_says_what_it_has_looked_at(start: Callable[..., Run]) -> None:
    with exchange() as host:
        run = start(
            *("--source", "live", "--symbols", "BTCUSDC", "--intervals", "1s,1m,1d"),
            *("--broker", "memory", "--data-dir", "data", "--duration", "8"),
            **live(host, host),
        )
        assert run.wait() == 0, run.said
    assert "trades up to the exchange's newest ids, bars up to " in run.said
    assert "rows counted in the store" in run.said


def test_bars_that_differ_from_their_trades_are_told_and_stay_known_without_a_broker(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    with exchange("--fault", "wrong_kline:from=0,to=600,probability=0.5,intervals=1s") as host:
        run = start(
            *("--source", "live", "--symbols", "BTCUSDC", "--intervals", "1s,1m"),
            *("--broker", "memory", "--data-dir", "data", "--duration", "10"),
            **live(host, host),
        )
        assert run.wait() == 1, run.said
    assert re.search(r"BTCUSDC klines 1s: \d+ differ from their trades: open times ", at_the_end(run))
    assert "NOT COMPLETE" in run.said and "nothing lost" not in at_the_end(run)
    (row,) = rows(tmp_path / STORE, "SELECT sum(lost) AS lost FROM ledger WHERE interval = '1s'")
    assert row["lost"] > 0


def test_a_directory_of_the_broker_in_memory_is_refused_to_another_one(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "source.json").write_text(
        json.dumps({"kind": "simulator", "broker": "memory", "brokers": ["memory"]}), encoding="utf-8"
    )
    run = start("--source", "simulator", "--broker", "127.0.0.1:9", "--data-dir", "data")
    assert run.wait(60) == 2
    (error,) = [line for line in run.said.splitlines() if line.startswith("error:")]
    assert "knows nothing of it" in error and "--broker memory" in error
