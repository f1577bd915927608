"""`cryptostream run` as a user starts it: real services, against the simulator's own log."""

from __future__ import annotations

import json
import os
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from cryptostream.engines.fetch import find_kafka
from shared.intervals import INTERVAL_MS
from shared.trade_ids import number
from tests.integration.run_command import ROOT, Run, count, rows, runs_in, until

SYMBOLS = ("BTCUSDC", "SOLUSDC")
INTERVALS = ("1s", "1m")
KLINE_FIELDS = (
    *("open", "high", "low", "close", "base_volume", "quote_volume"),
    *("taker_buy_base_volume", "taker_buy_quote_volume", "trade_count"),
)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    with runs_in(tmp_path) as start:
        yield start


def assert_store_equals_log(database: Path, *logs: Path) -> None:
    """Every trade and closed bar that was issued is stored once, with its values, and nothing else is."""
    issued = [json.loads(line) for log in logs for line in log.read_text(encoding="utf-8").splitlines()]
    trades = {(e["symbol"], e["trade_id"]): e for e in issued if e["kind"] == "trade"}
    stored = rows(database, "SELECT * FROM trade")
    assert len(stored) == len({(row["symbol"], row["trade_id"]) for row in stored})
    assert {(row["symbol"], row["trade_id"]) for row in stored} == trades.keys()
    for row in stored:
        trade = trades[row["symbol"], row["trade_id"]]
        assert (row["price"], row["quantity"]) == (float(trade["price"]), float(trade["quantity"]))
        assert row["time_ns"] // 1_000_000 == trade["trade_time_ms"]
        assert bool(row["buyer_is_maker"]) == trade["buyer_is_maker"]
    bars = {(e["symbol"], e["interval"], e["open_time_ms"]): e for e in issued if e["kind"] == "kline"}
    klines = {bar_key(row): row for row in rows(database, "SELECT * FROM kline")}
    assert klines.keys() == bars.keys()
    for key, bar in bars.items():
        assert [float(bar[field]) for field in KLINE_FIELDS] == [klines[key][field] for field in KLINE_FIELDS]


def bar_key(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["symbol"], row["interval"], row["time_ns"] // 1_000_000


def assert_nothing_missing_between(database: Path) -> None:
    """No bar and no trade id is left out, and each bar has its indicators."""
    series = defaultdict(list)
    for row in rows(database, "SELECT symbol, interval, time_ns FROM kline ORDER BY time_ns"):
        series[row["symbol"], row["interval"]].append(row["time_ns"] // 1_000_000)
    for (_, interval), times in series.items():
        assert {after - before for before, after in pairwise(times)} == {INTERVAL_MS[interval]}
    ids = defaultdict(list)
    for row in rows(database, "SELECT symbol, trade_id FROM trade ORDER BY trade_id"):
        ids[row["symbol"]].append(row["trade_id"])
    for trade_ids in ids.values():
        assert trade_ids == list(range(trade_ids[0], trade_ids[-1] + 1))
    indicators = {bar_key(row) for row in rows(database, "SELECT symbol, interval, time_ns FROM indicator")}
    assert indicators == {
        bar_key(row) for row in rows(database, "SELECT symbol, interval, time_ns FROM kline")
    }


SIMULATED = ("--source", "simulator", "--symbols", ",".join(SYMBOLS), "--intervals", ",".join(INTERVALS))


def test_a_simulated_run_stores_what_was_issued_and_the_next_one_goes_on(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    words = (*SIMULATED, "--broker", "memory", "--data-dir", "data")
    database = tmp_path / "data" / "cryptostream.db"
    first = start(*words, "--duration", "8", "--issued-log", "first.jsonl", WARMUP_BARS="100")
    assert first.wait() == 0, first.said
    assert "broker: memory" in first.said and "nothing lost" in first.said
    assert_store_equals_log(database, tmp_path / "first.jsonl")
    second = start(*words, "--duration", "8", "--issued-log", "second.jsonl", WARMUP_BARS="100")
    assert second.wait() == 0, second.said
    assert_store_equals_log(database, tmp_path / "first.jsonl", tmp_path / "second.jsonl")
    assert_nothing_missing_between(database)
    assert all(row["expected"] == row["stored"] for row in rows(database, "SELECT * FROM ledger"))


def test_killed_services_are_started_again_and_nothing_is_lost_on_a_real_broker(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    if find_kafka() is None and not os.environ.get("CRYPTOSTREAM_FORBID_SKIPS"):
        pytest.skip("Apache Kafka is not in the cache of engines; get it by: make engines")
    words = (*SIMULATED, "--broker", "kafka", "--data-dir", "data", "--issued-log", "log.jsonl")
    database = tmp_path / "data" / "cryptostream.db"
    run = start(*words, WARMUP_BARS="100")

    def each_has_begun() -> bool:
        """A producer that has noted nothing of a series leaves it to the next one to begin."""
        return count(database, "trade") > 5 and len(rows(database, "SELECT DISTINCT symbol FROM trade")) == 2

    until(each_has_begun, f"trades are stored\n{run.said}")
    for module in ("producers", "consumers"):
        victim = run.child(module)
        assert victim is not None
        victim.kill()

        def is_back(gone: psutil.Process = victim, name: str = module) -> bool:
            return run.child(name) not in (None, gone)

        until(is_back, f"{module} is back")
        before = count(database, "trade")

        def stores_again(least: int = before) -> bool:
            return count(database, "trade") > least + 5

        until(stores_again, f"it stores again\n{run.said}")
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 0, run.said
    assert run.said.count("starting it again") == 2
    restarts = rows(database, "SELECT service, MAX(restarts) AS times FROM service GROUP BY service")
    assert {"producer", "consumer-trades"} <= {row["service"] for row in restarts}
    assert {row["times"] for row in restarts} == {1}, "each process was started again once, and says so"
    assert_store_equals_log(database, tmp_path / "log.jsonl")
    assert_nothing_missing_between(database)


def test_a_replay_stores_every_trade_of_the_recordings(
    start: Callable[..., Run], tmp_path: Path, recordings: Path
) -> None:
    folder = recordings / "binance_spot_ws"
    files = [str(folder / f"hft_btcusdt_{day}.gz") for day in ("20240808", "20240809")]
    run = start("--source", *files, "--speed", "0", "--broker", "memory", "--data-dir", "data")
    assert run.wait() == 0, run.said
    stored = rows(tmp_path / "data" / "cryptostream.db", "SELECT trade_id FROM trade ORDER BY trade_id")
    # 19,904 trades without a hole: README of the recordings, §1.
    assert [row["trade_id"] for row in stored] == list(range(3735683259, 3735703162 + 1))


FEEDS = ROOT / "tests" / "feeds"
# 8 trades with ids from 7,000 on, and a minute later 12 with ids from 1 on.
ANEW = [*range(7_000, 7_008), *(number(1, each) for each in range(1, 13))]


def stored_trades(database: Path) -> list[int]:
    return [row["trade_id"] for row in rows(database, "SELECT trade_id FROM trade ORDER BY time_ns")]


def test_ids_that_begin_anew_are_stored_as_another_numbering_also_a_second_time(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    file = str(FEEDS / "trade-ids-anew.jsonl")
    words = ("--source", file, "--speed", "0", "--broker", "memory", "--data-dir", "data")
    for _ in range(2):
        run = start(*words)
        assert run.wait() == 0, run.said
        assert "complete: 20 trades" in run.said
        assert stored_trades(tmp_path / "data" / "cryptostream.db") == ANEW
    summaries = "SELECT trade_count FROM trade_summary WHERE interval = '1m' ORDER BY time_ns"
    counted = [row["trade_count"] for row in rows(tmp_path / "data" / "cryptostream.db", summaries)]
    assert counted == [8, 12]


def test_a_closed_bar_of_the_future_is_put_aside_and_the_real_ones_are_stored(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    file = str(FEEDS / "future-bar.jsonl")
    run = start("--source", file, "--speed", "0", "--broker", "memory", "--data-dir", "data")
    assert run.wait() == 0, run.said
    bars = rows(tmp_path / "data" / "cryptostream.db", "SELECT time_ns FROM kline ORDER BY time_ns")
    assert len(bars) == 6
    assert all(after["time_ns"] - before["time_ns"] == 60 * 10**9 for before, after in pairwise(bars))


@pytest.mark.long
def test_a_producer_killed_where_ids_begin_anew_goes_on_in_the_new_numbering(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    if find_kafka() is None and not os.environ.get("CRYPTOSTREAM_FORBID_SKIPS"):
        pytest.skip("Apache Kafka is not in the cache of engines; get it by: make engines")
    # A trade a second for a while more: the producer comes back in the middle of them.
    frames = [json.loads(line) for line in (FEEDS / "trade-ids-anew.jsonl").read_text().splitlines()]
    for _ in range(80):
        last, event = frames[-1], frames[-1]["data"]
        moved = {name: event[name] + 1_000 for name in ("E", "T")} | {"t": event["t"] + 1}
        frames.append({**last, "receivedTime": last["receivedTime"] + 1_000, "data": event | moved})
    file, database = tmp_path / "anew.jsonl", tmp_path / "data" / "cryptostream.db"
    file.write_text("\n".join(map(json.dumps, frames)))
    run = start("--source", str(file), "--speed", "4", "--broker", "kafka", "--data-dir", "data")
    until(lambda: count(database, "trade") >= 10, f"the new numbering is stored\n{run.said}", 200.0)
    victim = run.child("producers")
    assert victim is not None
    victim.kill()
    assert run.wait() == 0, run.said
    assert stored_trades(database) == [*ANEW, *(number(1, each) for each in range(13, 93))]
    assert all(row["expected"] == row["stored"] for row in rows(database, "SELECT * FROM ledger"))


def test_a_killed_run_leaves_no_process_behind_and_the_next_one_completes_it(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    words = (*SIMULATED, "--broker", "memory", "--data-dir", "data")
    database = tmp_path / "data" / "cryptostream.db"
    run = start(*words, WARMUP_BARS="100")
    until(lambda: count(database, "trade") > 5, f"trades are stored\n{run.said}")
    children = psutil.Process(run.process.pid).children(recursive=True)
    assert len(children) == 4  # the exchange, producers, consumers and the page's service
    run.process.kill()
    run.wait()
    until(lambda: not any(child.is_running() for child in children), "the children are gone")
    again = start(*words, "--duration", "8", WARMUP_BARS="100")
    assert again.wait() == 0, again.said
    assert_nothing_missing_between(database)


def test_a_store_that_is_removed_under_a_run_is_not_vouched_for(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    run = start(*SIMULATED, "--broker", "memory", "--duration", "12", "--data-dir", "run", WARMUP_BARS="100")
    database = tmp_path / "run" / "cryptostream.db"
    until(lambda: count(database, "trade") > 20, "the first trades")
    database.unlink()
    assert run.wait() == 1, run.said
    assert "was removed or replaced while it was written to" in run.said
    assert "NOT COMPLETE" in run.said
    assert "complete: " not in run.said


def test_a_second_ctrl_c_ends_at_once_with_failure(start: Callable[..., Run]) -> None:
    run = start(*SIMULATED, "--broker", "memory", "--data-dir", "data", WARMUP_BARS="100")
    until(lambda: "ledger" in run.said, "it runs")
    run.process.send_signal(signal.SIGINT)
    until(lambda: "stopping in order" in run.said, "it stops")
    run.process.send_signal(signal.SIGINT)
    assert run.wait(15) == 1
    assert "stopped at once" in run.said


def test_two_runs_side_by_side_do_not_meet(start: Callable[..., Run], tmp_path: Path) -> None:
    common = (*SIMULATED, "--broker", "memory", "--duration", "6")
    runs = [
        start(*common, "--data-dir", name, "--issued-log", f"{name}.jsonl", WARMUP_BARS="50")
        for name in ("one", "two")
    ]
    for name, run in zip(("one", "two"), runs, strict=True):
        assert run.wait() == 0, run.said
        assert_store_equals_log(tmp_path / name / "cryptostream.db", tmp_path / f"{name}.jsonl")


NOWHERE = "127.0.0.1:9"  # the discard port: nobody listens
SIMULATOR = ("--source", "simulator", "--broker", "memory")


@pytest.mark.parametrize(
    ("words", "environment", "error"),
    [
        (("--source", "nothing.gz"), {}, "2: --source nothing.gz: no such file"),
        (("--source", "text.txt", "--broker", "memory"), {}, "2: text.txt: not a recording"),
        ((*SIMULATOR, "--intervals", "7m"), {}, '2: INTERVALS: "7m" is not an interval'),
        (("--source", "live"), {"BINANCE_REST_URL": f"http://{NOWHERE}"}, "1: --source live: "),
        (("--source", "simulator", "--broker", NOWHERE), {}, f"1: --broker {NOWHERE}: no Kafka"),
        (
            (*SIMULATOR, "--store", "influxdb"),
            {"INFLUX_TOKEN": "t", "INFLUX_URL": f"http://{NOWHERE}"},
            f"1: INFLUX_URL: no answer from http://{NOWHERE}",
        ),
        (SIMULATOR, {"SQLITE_PATH": "text.txt"}, "1: SQLITE_PATH: "),
    ],
)
def test_what_cannot_work_ends_with_one_clear_line(
    start: Callable[..., Run], tmp_path: Path, words: tuple[str, ...], environment: dict[str, str], error: str
) -> None:
    (tmp_path / "text.txt").write_text("no recording, no database\n" * 100, encoding="utf-8")
    exit_code, _, line = error.partition(": ")
    run = start(*words, "--data-dir", "data", **environment)
    assert run.wait(60) == int(exit_code)
    errors = [said for said in run.said.splitlines() if "error:" in said]
    assert len(errors) == 1 and errors[0].startswith(f"error: {line}"), run.said
    assert "Traceback" not in run.said
