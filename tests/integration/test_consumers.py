"""Consumers on a real Kafka: crashes, bad messages, a dead store, a clean stop."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from consumers.indicators.bars import Bar
from consumers.indicators.registry import indicator_set
from cryptostream.engines.kafka import KafkaServer
from cryptostream.topics_admin import ensure_topics
from shared.topics import (
    DEAD_LETTERS,
    LEDGER,
    TRADES,
    indicator_state_topic,
    klines_live_topic,
    klines_topic,
)
from tests.builders import book, kline, ledger, quote, trade
from tests.conftest import ROOT, real_kafka
from tests.integration.consumer_harness import (
    committed,
    consuming,
    members,
    publish,
    read_all,
    rows,
    stored_points,
    until,
)

# Second data older than a week would not be stored: these records are of half an hour ago.
START_MS = (int(time.time()) // 60 - 30) * 60_000
BARS = 400
TRADE_COUNT = 6_000
PARTS = 3  # with a kill after each but the last
SYMBOLS = ("BTCUSDC", "ETHUSDC", "SOLUSDC")


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A broker of this module's own: the groups' names are fixed, and so are their offsets."""
    with real_kafka(tmp_path_factory.mktemp("kafka")) as server:
        ensure_topics(server.bootstrap_servers, ("1m",))
        yield server


def bars(symbols: Sequence[str] = SYMBOLS) -> list[tuple[str, bytes, Any]]:
    return [
        (
            klines_topic("1m"),
            f"binance:{symbol}".encode(),
            kline(
                symbol=symbol,
                open_time_ms=START_MS + n * 60_000,
                close_time_ms=START_MS + n * 60_000 + 59_999,
                close=f"{100 + (n * 7919 % 20) / 10:.8f}",
                base_volume=f"{n * 31 % 17 + 1}.50000000",
            ),
        )
        for n in range(BARS)
        for symbol in symbols
    ]


def trades(symbols: Sequence[str] = SYMBOLS) -> list[tuple[str, bytes, Any]]:
    """In id order, with a repeat now and then; 20 trades a second, so five minutes in all."""
    records = [
        (
            TRADES,
            f"binance:{symbol}".encode(),
            trade(
                symbol=symbol,
                trade_id=n,
                trade_time_ms=START_MS + n * 50,
                price=f"{100 + n % 7}.10000000",
                quantity=f"0.{n % 9 + 1}0000000",
                buyer_is_maker=n % 3 == 0,
            ),
        )
        for n in range(TRADE_COUNT)
        for symbol in symbols
    ]
    return [record for n, record in enumerate(records) for _ in range(2 if n % 500 == 499 else 1)]


def test_points_after_kills_equal_those_of_an_undisturbed_run(kafka: KafkaServer, tmp_path: Path) -> None:
    broker, disturbed = kafka.bootstrap_servers, tmp_path / "disturbed.db"
    streams = ("--stream", "klines", "--stream", "trades", "--intervals", "1m")
    all_bars, all_trades = bars(), trades()
    for part in range(PARTS):
        last = part == PARTS - 1
        some_bars = all_bars[part * len(all_bars) // PARTS : (part + 1) * len(all_bars) // PARTS]
        some_trades = all_trades[part * len(all_trades) // PARTS : (part + 1) * len(all_trades) // PARTS]
        with consuming(broker, disturbed, *streams) as run:
            before = len(rows(disturbed, "select 1 from trade"))
            publish(broker, some_bars + some_trades)
            if not last:
                # In the middle of a batch, a checkpoint or a write: wherever this finds it.
                until(partial(has_more_trades, disturbed, before), "trades")
                run.kill()
                continue
            until(lambda: len(rows(disturbed, "select 1 from kline")) == BARS * len(SYMBOLS), "all bars")
            until(
                lambda: len(rows(disturbed, "select 1 from trade")) == TRADE_COUNT * len(SYMBOLS),
                "all trades",
            )
            code, errors = run.stop()
            assert code == 0, errors

    expected_indicators = undisturbed_indicators()
    stored = {
        (symbol, time_ns): values
        for symbol, time_ns, *values in rows(
            disturbed, "select symbol, time_ns, momentum_rsi, volume_obv, others_cr from indicator"
        )
    }
    assert stored == expected_indicators
    undisturbed = tmp_path / "undisturbed.db"
    assert_equal_to_an_undisturbed_run(kafka, disturbed, undisturbed, tmp_path)
    read = read_all(broker, klines_topic("1m"))
    high = {message.partition(): cast(int, message.offset()) + 1 for message in read}
    assert committed(broker, "cryptostream.klines.1m", klines_topic("1m")).items() >= high.items()


def has_more_trades(store: Path, count: int) -> bool:
    return len(rows(store, "select 1 from trade")) > count


def undisturbed_indicators(symbols: Sequence[str] = SYMBOLS) -> dict[tuple[str, int], list[float | None]]:
    """What the indicator set gives over the same bars, without Kafka, state or crash."""
    indicators = indicator_set(("all",))
    columns = [indicators.columns.index(name) for name in ("momentum_rsi", "volume_obv", "others_cr")]
    expected: dict[tuple[str, int], list[float | None]] = {}
    states = {symbol: indicators.initial() for symbol in symbols}
    for _, _, bar in bars(symbols):
        numbers = (float(bar[name]) for name in ("open", "high", "low", "close", "base_volume"))
        states[bar["symbol"]], values = indicators.step(
            states[bar["symbol"]], Bar(bar["open_time_ms"], *numbers)
        )
        expected[bar["symbol"], bar["open_time_ms"] * 1_000_000] = [
            None if values[at] != values[at] else values[at] for at in columns
        ]
    return expected


def assert_equal_to_an_undisturbed_run(
    kafka: KafkaServer, disturbed: Path, undisturbed: Path, tmp_path: Path
) -> None:
    with real_kafka(tmp_path / "second") as second:
        broker = second.bootstrap_servers
        ensure_topics(broker, ("1m",))
        publish(broker, bars() + trades())
        streams = ("--stream", "klines", "--stream", "trades", "--intervals", "1m")
        with consuming(broker, undisturbed, *streams) as run:
            until(lambda: len(rows(undisturbed, "select 1 from kline")) == BARS * len(SYMBOLS), "all bars")
            until(
                lambda: len(rows(undisturbed, "select 1 from trade")) == TRADE_COUNT * len(SYMBOLS), "trades"
            )
            assert run.stop()[0] == 0
    names = ("kline", "indicator", "trade", "trade_summary")
    after_kills, without = stored_points(disturbed, *names), stored_points(undisturbed, *names)
    for name in names:
        assert after_kills[name] == without[name], name
    assert len(without["trade_summary"]) == (5 + 300) * len(SYMBOLS)


def test_partitions_are_handed_over_with_their_state(kafka: KafkaServer, tmp_path: Path) -> None:
    broker, first_store, second_store = kafka.bootstrap_servers, tmp_path / "1.db", tmp_path / "2.db"
    symbols = tuple(f"HAND{number}" for number in range(8))
    all_bars = bars(symbols)
    half = len(all_bars) // 2
    options = ("--stream", "klines", "--intervals", "1m")
    query = "select symbol, time_ns, volume_obv from indicator where symbol like 'HAND%'"

    def stored() -> dict[tuple[str, int], float]:
        both = rows(first_store, query) + rows(second_store, query)
        return {(symbol, time_ns): value for symbol, time_ns, value in both}

    with consuming(broker, first_store, *options) as first:
        publish(broker, all_bars[:half])
        until(lambda: len(stored()) == half, "the first half")
        with consuming(broker, second_store, *options) as second:
            # What arrives during the hand-over belongs to one of them or, harmlessly, to both.
            publish(broker, all_bars[half : half + 400])
            until(lambda: members(broker, "cryptostream.klines.1m") == 2, "both to have partitions")
            publish(broker, all_bars[half + 400 :])
            until(lambda: len(stored()) == len(all_bars), "all bars")
            assert second.stop()[0] == 0
        assert first.stop()[0] == 0
    expected = {key: values[1] for key, values in undisturbed_indicators(symbols).items()}
    assert stored() == expected
    assert rows(second_store, "select 1 from kline") != []


def test_a_bad_message_goes_to_the_dead_letters_and_the_rest_goes_on(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    broker, store = kafka.bootstrap_servers, tmp_path / "store.db"
    key, symbol = b"binance:BADUSDC", {"symbol": "BADUSDC"}
    wrong = orjson.dumps(trade(trade_id=2, price="-1", **symbol))
    publish(
        broker,
        [
            (TRADES, key, trade(trade_id=1, trade_time_ms=START_MS, **symbol)),
            (TRADES, key, b"{broken"),
            (TRADES, key, wrong),
            (TRADES, key, trade(trade_id=3, trade_time_ms=START_MS, **symbol)),
        ],
    )
    with consuming(broker, store, "--stream", "trades") as run:
        good = "select 1 from trade where symbol = 'BADUSDC'"
        until(lambda: len(rows(store, good)) == 2, "the good trades")
        assert run.stop()[0] == 0
    letters = [letter for letter in read_all(broker, DEAD_LETTERS) if letter.key() == key]
    assert [letter.value() for letter in letters] == [b"{broken", wrong]
    headers = dict(letters[1].headers() or [])
    assert headers["reason"] == b"price: '-1' is not a decimal string"
    assert headers["source_topic"] == TRADES.encode()
    assert headers["service"] == b"consumer-trades"
    (at,) = [
        message.offset()
        for message in read_all(broker, TRADES)
        if message.value() == wrong and message.partition() == int(headers["source_partition"])
    ]
    assert int(headers["source_offset"]) == at
    events = [orjson.loads(message.value() or b"") for message in read_all(broker, LEDGER)]
    stored = [(e["first"], e["last"]) for e in events if e["symbol"] == "BADUSDC" and e["kind"] == "stored"]
    assert stored == [(1, 1), (3, 3)]


def test_a_dead_store_pauses_and_loses_nothing(kafka: KafkaServer, tmp_path: Path) -> None:
    broker, store = kafka.bootstrap_servers, tmp_path / "store.db"
    all_trades = trades(("DEADUSDC",))
    stored = "select 1 from trade where symbol = 'DEADUSDC'"
    with consuming(broker, store, "--stream", "trades") as run:
        publish(broker, all_trades[:300])
        until(lambda: len(rows(store, stored)) == 300, "the first trades")
        locked = subprocess.Popen(
            [sys.executable, "-c", HOLD_THE_STORE, str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert locked.stdout is not None
        assert locked.stdout.readline() == b"locked\n"
        publish(broker, all_trades[300:])
        before = committed(broker, "cryptostream.trades", TRADES)
        assert run.process.stderr is not None
        line = next(line for line in run.process.stderr if "paused, nothing is lost" in line)
        assert "trades" in line
        # Nothing was stored meanwhile, so no offset may have moved.
        assert committed(broker, "cryptostream.trades", TRADES) == before
        locked.communicate(b"\n")
        until(lambda: len(rows(store, stored)) == TRADE_COUNT, "all trades")
        assert run.stop()[0] == 0


HOLD_THE_STORE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


def test_all_streams_in_one_process_end_in_the_store_and_in_the_ledger(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    broker, store = kafka.bootstrap_servers, tmp_path / "store.db"
    key, symbol = b"binance:ALLUSDC", {"symbol": "ALLUSDC"}
    expected = {"first": 1, "last": 2, "count": 2}
    with consuming(broker, store, "--stream", "all", "--intervals", "1m", LIVE_INTERVAL_MS="0") as run:
        publish(
            broker,
            [
                (TRADES, key, trade(trade_id=1, trade_time_ms=START_MS, **symbol)),
                (TRADES, key, trade(trade_id=2, trade_time_ms=START_MS + 1, **symbol)),
                (LEDGER, key, ledger(event_time_ms=START_MS + 1, **expected, **symbol)),
                (
                    klines_topic("1m"),
                    key,
                    kline(open_time_ms=START_MS, event_time_ms=START_MS + 60_000, **symbol),
                ),
                ("market.book", key, book(event_time_ms=START_MS, **symbol)),
                ("market.quotes", key, quote(received_time_ms=START_MS, **symbol)),
            ],
        )
        until(lambda: rows(store, "select 1 from indicator where symbol = 'ALLUSDC'"), "the closed bar")

        open_bar = kline(open_time_ms=START_MS + 60_000, closed=False, **symbol)

        def live_point() -> list[Any]:
            # Best effort: what is published before the assignment is not read.
            publish(broker, [(klines_live_topic("1m"), key, open_bar)])
            return rows(store, "select 1 from indicator_live")

        until(live_point, "the open bar")
        until(lambda: rows(store, "select 1 from quote"), "the quote")
        until(lambda: rows(store, "select 1 from book"), "the book")
        until(lambda: rows(store, "select 1 from service where service = 'consumer-trades'"), "metrics")
        code, errors = run.stop()
    assert code == 0, errors
    assert rows(
        store,
        "select stream, expected, stored, lost, duplicates from ledger"
        " where stream = 'trades' and symbol = 'ALLUSDC'",
    ) == [("trades", 2, 2, 0, 0)]
    assert key in {message.key() for message in read_all(broker, indicator_state_topic("1m"))}


def test_a_missing_topic_and_a_missing_broker_are_one_clear_line(kafka: KafkaServer, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    with consuming(kafka.bootstrap_servers, store, "--stream", "klines", "--intervals", "3m") as run:
        _, errors = run.process.communicate(timeout=120)
    assert run.process.returncode == 1
    assert errors == (
        f"error: topic market.klines-live.3m is missing on {kafka.bootstrap_servers} (and 2 more); "
        "create it by `cryptostream topics`\n"
    )
    with consuming("127.0.0.1:1", store, "--stream", "trades") as run:
        _, errors = run.process.communicate(timeout=120)
    assert run.process.returncode == 1
    assert errors == (
        "error: KAFKA_BOOTSTRAP_SERVERS: no Kafka answers at 127.0.0.1:1; start it or name another address\n"
    )


def test_the_command_is_there_under_cryptostream_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cryptostream.cli", "consume", "--stream", "all"],
        env={"PYTHONPATH": str(ROOT), "KAFKA_BOOTSTRAP_SERVERS": "", "SQLITE_PATH": "unused.db"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: KAFKA_BOOTSTRAP_SERVERS: not set")
