"""A store, the consumers that fill it, the commands that read it, and a market of half an hour ago."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from consumers.stores.factory import open_reader
from cryptostream import cli
from shared.errors import StoreError
from shared.messages import KlineMessage, LedgerMessage, TradeMessage
from shared.settings import Settings
from shared.topics import LEDGER, TRADES, klines_topic
from tests.builders import kline, ledger, trade
from tests.integration.consumer_harness import ConsumerRun, publish, until
from tests.integration.fake_exchange import MINUTE_MS

# Second data older than a week would not be stored: these records are of half an hour ago.
START_MS = (int(time.time()) // 60 - 30) * MINUTE_MS
BARS, TRADES_COUNT = 20, 300
KLINES = klines_topic("1m")


class Place:
    """A store, the consumers that fill it, and the commands that read it."""

    def __init__(
        self,
        broker: str,
        environment: dict[str, str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.broker = broker
        self.symbol = f"T{time.time_ns():X}"
        self._environment = environment
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        for name, value in (environment | {"KAFKA_BOOTSTRAP_SERVERS": broker, "INTERVALS": "1m"}).items():
            monkeypatch.setenv(name, value)

    @property
    def key(self) -> bytes:
        return f"binance:{self.symbol}".encode()

    def consume(self, records: Sequence[tuple[str, bytes, Any]], *, bars: int, trades: int) -> None:
        """Publish, and run the consumers until the ledger's rows of this symbol say it is stored."""
        publish(self.broker, records)
        arguments = [word for name in ("klines", "trades", "ledger") for word in ("--stream", name)]
        run = ConsumerRun(
            [*arguments, "--intervals", "1m"], {**self._environment, "KAFKA_BOOTSTRAP_SERVERS": self.broker}
        )
        try:
            until(lambda: self._stored() == (bars, trades), f"{bars} bars and {trades} trades")
        finally:
            code, errors = run.stop(20)
        assert code == 0, errors

    def _stored(self) -> tuple[int, int]:
        try:
            return len(self.rows("kline", interval="1m")), len(self.rows("trade"))
        except StoreError:
            return -1, -1  # the consumers are still making it

    def rows(self, measurement: str, **tags: str) -> list[Any]:
        settings = Settings(_env_file=None, **self.fields())
        with closing(open_reader(settings)) as reader:
            return list(reader.read(measurement, {"exchange": "binance", "symbol": self.symbol, **tags}))

    def fields(self) -> dict[str, Any]:
        return {name.lower(): value for name, value in self._environment.items()}

    def command(self, *words: str) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = cli.main(words)
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err

    def verify(self, *words: str) -> tuple[int, dict[str, Any]]:
        code, out, _ = self.command("ledger", "--symbol", self.symbol, "--verify", "--format", "json", *words)
        return code, orjson.loads(out)

    def without_broker(self) -> None:
        self._monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS")


def market(symbol: str, first_trade: int = 1) -> list[tuple[str, bytes, Any]]:
    """Bars and trades of a quarter of an hour, with what the producer says of them."""
    key = f"binance:{symbol}".encode()
    bars = [bar(symbol, number) for number in range(BARS)]
    trades = [a_trade(symbol, first_trade + number) for number in range(TRADES_COUNT)]
    expected = [
        ledger(
            symbol=symbol,
            stream="klines",
            interval="1m",
            first=START_MS,
            last=START_MS + (BARS - 1) * MINUTE_MS,
            count=BARS,
            event_time_ms=START_MS + (BARS - 1) * MINUTE_MS,
        )
    ]
    expected += said_of(trades)
    # The producer's last word, or the other symbols of this broker would tell that it is dead.
    end_ms = START_MS + BARS * MINUTE_MS
    for series in ({"stream": "trades"}, {"stream": "klines", "interval": "1m"}):
        expected.append(ledger(symbol=symbol, kind="stopped", first=end_ms, last=end_ms, count=0, **series))
    return [
        *((KLINES, key, one) for one in bars),
        *((TRADES, key, one) for one in trades),
        *((LEDGER, key, one) for one in expected),
    ]


def said_of(trades: Sequence[TradeMessage]) -> list[LedgerMessage]:
    """What a producer says of trades: one event a minute."""
    by_minute: dict[int, list[TradeMessage]] = {}
    for one in trades:
        by_minute.setdefault(one["trade_time_ms"] // MINUTE_MS, []).append(one)
    return [
        ledger(
            symbol=some[0]["symbol"],
            first=some[0]["trade_id"],
            last=some[-1]["trade_id"],
            count=len(some),
            event_time_ms=some[-1]["trade_time_ms"],
        )
        for some in by_minute.values()
    ]


def bar(symbol: str, number: int) -> KlineMessage:
    open_ms = START_MS + number * MINUTE_MS
    end_ms = open_ms + MINUTE_MS
    times = {"open_time_ms": open_ms, "close_time_ms": end_ms - 1, "event_time_ms": end_ms}
    return kline(symbol=symbol, received_time_ms=end_ms + 5, **times)


def a_trade(symbol: str, trade_id: int) -> TradeMessage:
    time_ms = START_MS + trade_id * 2_000
    return trade(symbol=symbol, trade_id=trade_id, **times_of(time_ms))


def times_of(trade_time_ms: int) -> dict[str, int]:
    """Of a trade that was received at once: a time beyond its arrival is bad input."""
    times = {"trade_time_ms": trade_time_ms, "event_time_ms": trade_time_ms}
    return {**times, "received_time_ms": trade_time_ms + 5}


def delete(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path, timeout=10)
    with connection:
        connection.execute(statement)
    connection.close()
