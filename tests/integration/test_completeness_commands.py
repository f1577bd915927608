"""`ledger`, `dead-letters` and `repair` between a real Kafka, real stores and a small exchange."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import urllib3
from confluent_kafka import Producer

from consumers.stores.factory import open_reader
from cryptostream import cli
from cryptostream.engines.kafka import KafkaServer
from cryptostream.topics_admin import ensure_topics
from producers.bearings import trades_series
from producers.progress_reader import ProgressReader
from shared.dead_letters import dead_letter_headers
from shared.errors import StoreError
from shared.kafka import producer_config
from shared.settings import Settings
from shared.topics import DEAD_LETTERS, LEDGER, PROGRESS, TRADES, klines_topic
from tests.builders import kline, ledger, trade
from tests.conftest import Influx, real_kafka
from tests.integration.consumer_harness import ConsumerRun, publish, read_all, until
from tests.integration.fake_exchange import MINUTE_MS, FakeExchange, fake_exchange
from tests.integration.test_stores_influxdb import call, make_bucket, settings_of

# Second data older than a week would not be stored: these records are of half an hour ago.
START_MS = (int(time.time()) // 60 - 30) * MINUTE_MS
BARS, TRADES_COUNT = 20, 300
KLINES = klines_topic("1m")


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker of this module's own: the groups' names are fixed, and so are their offsets."""
    with real_kafka(tmp_path_factory.mktemp("kafka")) as server:
        assert isinstance(server, KafkaServer)
        ensure_topics(server.bootstrap_servers, ("1m",))
        yield server.bootstrap_servers


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
        settings = Settings(_env_file=None, **self.fields())  # type: ignore[call-arg]
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


@pytest.fixture
def on_sqlite(
    kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Place:
    monkeypatch.chdir(tmp_path)
    environment = {"STORE": "sqlite", "SQLITE_PATH": str(tmp_path / "store.db")}
    return Place(kafka, environment, monkeypatch, capsys)


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
    return [
        *((KLINES, key, one) for one in bars),
        *((TRADES, key, one) for one in trades),
        *((LEDGER, key, one) for one in expected),
    ]


def said_of(trades: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a producer says of trades: one event a minute."""
    by_minute: dict[int, list[dict[str, Any]]] = {}
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


def bar(symbol: str, number: int) -> dict[str, Any]:
    open_ms = START_MS + number * MINUTE_MS
    return kline(symbol=symbol, open_time_ms=open_ms, close_time_ms=open_ms + MINUTE_MS - 1)


def a_trade(symbol: str, trade_id: int) -> dict[str, Any]:
    return trade(symbol=symbol, trade_id=trade_id, trade_time_ms=START_MS + trade_id * 2_000)


def delete(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path, timeout=10)
    with connection:
        connection.execute(statement)
    connection.close()


# -- ledger -------------------------------------------------------------------------------------------------


def test_rows_removed_from_sqlite_behind_the_ledgers_back_are_found(on_sqlite: Place, tmp_path: Path) -> None:
    place = on_sqlite
    place.consume(market(place.symbol), bars=BARS, trades=TRADES_COUNT)
    code, found = place.verify()
    assert (code, found["complete"]) == (0, True)
    assert {(row["stream"], row["checked"]) for row in found["verification"]} == {
        ("klines", BARS),
        ("trades", TRADES_COUNT),
    }
    path, symbol = tmp_path / "store.db", place.symbol
    delete(path, f"delete from trade where symbol = '{symbol}' and trade_id between 100 and 109")
    delete(
        path, f"delete from kline where symbol = '{symbol}' and time_ns = {(START_MS + MINUTE_MS) * 10**6}"
    )
    delete(path, f"delete from indicator where symbol = '{symbol}' and time_ns <= {START_MS * 10**6}")
    code, found = place.verify()
    assert code == 1
    by_stream = {row["stream"]: row for row in found["verification"]}
    assert by_stream["trades"]["missing"] == {"count": 10, "ranges": [[100, 109]]}
    second = START_MS + MINUTE_MS
    assert by_stream["klines"]["missing"] == {"count": 1, "ranges": [[second, second]]}
    assert by_stream["klines"]["without_indicators"] == {"count": 1, "ranges": [[START_MS, START_MS]]}
    code, out, _ = place.command("ledger", "--symbol", symbol, "--verify")
    assert code == 1
    assert f"{symbol} trades: 10 claimed as stored are not in the store: ids 100–109" in out
    assert "THE STORE DISAGREES in 2 of 2 series" in out
    # Without a broker the minute rows tell it too.
    place.without_broker()
    code, found = place.verify()
    assert code == 1
    by_stream = {row["stream"]: row for row in found["verification"]}
    assert [by_stream[stream]["missing"]["count"] for stream in ("trades", "klines")] == [10, 1]
    assert by_stream["klines"]["without_indicators"]["count"] == 1


def test_what_was_never_claimed_and_what_is_lost_are_told_apart(on_sqlite: Place, tmp_path: Path) -> None:
    place = on_sqlite
    symbol = place.symbol
    place.consume(market(symbol), bars=BARS, trades=TRADES_COUNT)
    publish(
        place.broker,
        [(LEDGER, place.key, ledger(symbol=symbol, kind="lost", first=301, last=305, count=5))],
    )
    delete(
        tmp_path / "store.db",
        "insert into trade select exchange, symbol, time_ns + 7, trade_id + 1000, price, quantity,"
        f" buyer_is_maker from trade where symbol = '{symbol}' and trade_id = 5",
    )
    code, found = place.verify("--stream", "trades")
    assert code == 1
    (trades,) = found["series"]
    assert (trades["lost"], trades["lost_ranges"]) == (5, [[301, 305]])
    (recount,) = found["verification"]
    assert recount["unclaimed"] == {"count": 1, "ranges": [[1005, 1005]]}
    assert recount["missing"]["count"] == 0


def test_times_choose_the_trades_of_their_minutes(on_sqlite: Place) -> None:
    place = on_sqlite
    place.consume(market(place.symbol), bars=BARS, trades=TRADES_COUNT)
    begin = datetime.fromtimestamp(START_MS / 1000 + 120, UTC).isoformat()
    end = datetime.fromtimestamp(START_MS / 1000 + 240, UTC).isoformat()
    code, found = place.verify("--from", begin, "--to", end)
    assert code == 0
    assert {(row["stream"], row["expected"], row["stored"]) for row in found["series"]} == {
        ("klines", 2, 2),
        ("trades", 60, 60),
    }
    assert {row["checked"] for row in found["verification"]} == {2, 60}


def test_points_deleted_in_influxdb_are_found(
    kafka: str,
    influx: Influx,
    unique: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    org_id = str(call(influx, "GET", f"/api/v2/orgs?org={influx.org}")["orgs"][0]["id"])  # type: ignore[index]
    market_bucket, ticks_bucket = f"market-{unique}", f"ticks-{unique}"
    make_bucket(influx, org_id, market_bucket, 0)
    make_bucket(influx, org_id, ticks_bucket, 7 * 86_400)
    settings = settings_of(influx)
    environment = {
        "STORE": "influxdb",
        "INFLUX_URL": influx.url,
        "INFLUX_ORG": influx.org,
        "INFLUX_TOKEN": settings.influx_token.get_secret_value(),
        "INFLUX_BUCKET_MARKET": market_bucket,
        "INFLUX_BUCKET_TICKS": ticks_bucket,
    }
    place = Place(kafka, environment, monkeypatch, capsys)
    place.consume(market(place.symbol), bars=BARS, trades=TRADES_COUNT)
    assert place.verify()[0] == 0
    # A minute of trades and, in the other bucket, of bars; the server deletes what lies at the end too.
    gone = {
        "start": datetime.fromtimestamp(START_MS / 1000 + 60, UTC).isoformat(),
        "stop": datetime.fromtimestamp(START_MS / 1000 + 119, UTC).isoformat(),
    }
    for bucket in (market_bucket, ticks_bucket):
        for measurement in ("trade", "kline"):
            response = urllib3.request(
                "POST",
                f"{influx.url}/api/v2/delete?org={influx.org}&bucket={bucket}",
                headers={"Authorization": f"Token {influx.token}"},
                body=orjson.dumps({**gone, "predicate": f'_measurement="{measurement}"'}),
            )
            assert response.status == 204, response.data
    for has_broker in (True, False):
        code, found = place.verify()
        assert code == 1
        counts = {row["stream"]: row["missing"]["count"] for row in found["verification"]}
        assert counts == {"trades": 30, "klines": 1}
        if has_broker:
            place.without_broker()


# -- dead letters -------------------------------------------------------------------------------------------


def put_letter(place: Place, value: Any, reason: str, source: str, at: tuple[int, int] = (-1, -1)) -> None:
    producer = Producer(producer_config(place.broker, "test"))
    producer.produce(
        DEAD_LETTERS,
        key=place.key,
        value=value if isinstance(value, bytes) else orjson.dumps(value),
        headers=dead_letter_headers(reason, source, *at, "test"),
    )
    assert producer.flush(30) == 0


def test_letters_are_replayed_once_and_what_is_still_broken_stays(on_sqlite: Place) -> None:
    place = on_sqlite
    symbol, key = place.symbol, place.key
    place.consume(market(symbol), bars=BARS, trades=TRADES_COUNT)
    frame = {
        "stream": f"{symbol.lower()}@trade",
        "data": {
            "e": "trade",
            "E": START_MS,
            "s": symbol,
            "t": 302,
            "p": "1.5",
            "q": "2.5",
            "T": START_MS + 604_000,
            "m": True,
            "M": True,
        },
    }
    point = {
        "measurement": "trade",
        "tags": {"exchange": "binance", "symbol": symbol},
        "time_ns": (START_MS + 606_000) * 10**6 + 303,
        "fields": {"trade_id": 303, "price": 1.5, "quantity": 2.0, "buyer_is_maker": True},
    }
    put_letter(place, a_trade(symbol, 301), "a rule that was wrong", TRADES, (0, 17))
    put_letter(place, frame, "a field was unknown then", f"websocket:{symbol.lower()}@trade")
    put_letter(place, point, "the store was too old", TRADES)
    put_letter(place, b"\xff\x00 no JSON", "not JSON", TRADES, (0, 18))
    mine = [letter for letter in listed(place) if letter["key"] == key.decode()]
    assert [letter["replayed"] for letter in mine] == [False] * 4
    assert {letter["source"] for letter in mine} == {TRADES, f"websocket:{symbol.lower()}@trade"}
    names = [f"{letter['partition']}@{letter['offset']}" for letter in mine]

    code, out, _ = place.command("dead-letters", "replay", "--dry-run", *names)
    assert (code, "3 would be replayed, 1 still break" in out) == (1, True)
    assert not any(letter["replayed"] for letter in listed(place))
    code, out, _ = place.command("dead-letters", "replay", *names)
    assert code == 1
    assert f"{names[3]}: stays: trade: " in out
    assert out.endswith("3 replayed, 1 still break the contract and stay\n")
    code, out, _ = place.command("dead-letters", "replay", *names)
    assert (
        code,
        out.endswith("0 replayed, 3 had been replayed before, 1 still break the contract and stay\n"),
    ) == (
        1,
        True,
    )
    mine = [letter for letter in listed(place) if letter["key"] == key.decode()]
    assert [letter["replayed"] for letter in mine] == [True, True, True, False]

    on_topic = [message for message in read_all(place.broker, TRADES) if message.key() == key]
    ids = [orjson.loads(message.value())["trade_id"] for message in on_topic]
    assert sorted(ids) == list(range(1, 303))
    place.consume([], bars=BARS, trades=TRADES_COUNT + 3)
    assert [row["trade_id"] for row in place.rows("trade")][-3:] == [301, 302, 303]
    # The third was never expected from the exchange, yet it is claimed: the ledger knows of all three.
    code, found = place.verify("--stream", "trades")
    assert (code, found["verification"][0]["checked"]) == (0, TRADES_COUNT + 3)


def listed(place: Place) -> list[dict[str, Any]]:
    code, out, err = place.command("dead-letters", "list", "--last", "1000", "--format", "json")
    assert (code, err) == (0, "")
    letters: list[dict[str, Any]] = orjson.loads(out)
    return letters


def test_letters_are_found_by_source_reason_and_time_and_shown_whole(on_sqlite: Place) -> None:
    place = on_sqlite
    put_letter(place, b"\x00\x01binary", f"reason {place.symbol}", f"websocket:{place.symbol}")
    put_letter(place, {"a": [1]}, f"reason {place.symbol} too", "rest:klines")
    code, out, _ = place.command("dead-letters", "list", "--reason", f"{place.symbol.lower()} TOO")
    assert (code, out.count("rest:klines")) == (0, 1)
    code, out, _ = place.command("dead-letters", "list", "--topic", "websocket", "--reason", place.symbol)
    first, second = out.splitlines()[0], out.splitlines()[1]
    assert first.startswith("letter")
    name = second.split()[0]
    code, out, _ = place.command("dead-letters", "show", name)
    assert code == 0
    assert "000000  00 01 62 69 6e 61 72 79" in out
    assert "..binary" in out
    code, out, _ = place.command("dead-letters", "list", "--reason", place.symbol, "--to", "2026-01-01")
    assert (code, out) == (0, "no dead letters of that kind\n")
    code, _, err = place.command("dead-letters", "show", "0@999999")
    assert (code, "there is no such letter" in err) == (2, True)


def test_notes_of_replays_do_not_disturb_the_bearings_of_producers(on_sqlite: Place) -> None:
    place = on_sqlite
    put_letter(place, a_trade(place.symbol, 1), "a rule that was wrong", TRADES, (0, 0))
    (mine,) = (letter for letter in listed(place) if letter["key"] == place.key.decode())
    assert place.command("dead-letters", "replay", f"{mine['partition']}@{mine['offset']}")[0] == 0
    assert any(
        (message.key() or b"").startswith(b"dead-letters:") for message in read_all(place.broker, PROGRESS)
    )
    reader = ProgressReader(place.broker)
    try:
        standing = reader.standing("binance", [place.symbol], ["1m"])
    finally:
        reader.close()
    assert standing.progress == {}
    assert trades_series("binance", place.symbol) in standing.markers


# -- repair -------------------------------------------------------------------------------------------------


@pytest.fixture
def exchange(on_sqlite: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeExchange]:
    """It has the bars of the half hour, and 400 trades from id 5,000 on."""
    with fake_exchange(START_MS) as running:
        running.symbol = on_sqlite.symbol
        for _ in range(400):
            running.trade(streamed=False)
            running.now_ms += 1_000
        running.now_ms = START_MS + 25 * MINUTE_MS
        for name, value in running.environment(on_sqlite.broker).items():
            monkeypatch.setenv(name, value)
        yield running


def exchange_trades(exchange: FakeExchange) -> list[dict[str, Any]]:
    return [
        trade(
            symbol=exchange.symbol,
            trade_id=row["id"],
            trade_time_ms=row["time"],
            price=row["price"],
            quantity=row["qty"],
        )
        for row in exchange.trades
    ]


def test_holes_are_repaired_whether_the_ledger_knows_of_them_or_not(
    on_sqlite: Place, exchange: FakeExchange, tmp_path: Path
) -> None:
    place = on_sqlite
    symbol, key = place.symbol, place.key
    trades = exchange_trades(exchange)[:300]
    holes = range(5_100, 5_110)
    records = [(TRADES, key, one) for one in trades if one["trade_id"] not in holes]
    said = [(LEDGER, key, event) for event in said_of(trades)]
    place.consume([*records, *said], bars=0, trades=290)
    delete(tmp_path / "store.db", f"delete from trade where symbol = '{symbol}' and trade_id in (5200, 5201)")
    assert place.verify()[0] == 1

    code, out, _ = place.command("repair", symbol, "trades", "--from", "5000", "--to", "9999", "--dry-run")
    assert (code, out) == (0, f"{symbol} trades: 300 looked at, 12 missing: ids 5100–5109, 5200–5201\n")
    code, out, _ = place.command("repair", symbol, "trades", "--from", "5000", "--to", "9999")
    assert code == 0
    assert "repaired: 12: ids 5100–5109, 5200–5201 (published on market.trades" in out
    place.consume([], bars=0, trades=300)
    code, found = place.verify()
    assert code == 0
    (series,) = found["series"]
    assert (series["expected"], series["stored"], series["backfilled"], series["lost"]) == (300, 300, 12, 0)
    code, out, _ = place.command("repair", symbol, "trades", "--from", "5000", "--to", "9999")
    assert (code, out) == (0, f"{symbol} trades: 300 looked at, 0 missing\n")


def test_bars_are_repaired_and_what_rest_cannot_give_is_named(
    on_sqlite: Place, exchange: FakeExchange
) -> None:
    place = on_sqlite
    symbol, key = place.symbol, place.key
    records = [(KLINES, key, bar(symbol, number)) for number in range(BARS) if number not in (3, 4)]
    last_ms = START_MS + 29 * MINUTE_MS
    said = ledger(
        symbol=symbol,
        stream="klines",
        interval="1m",
        first=START_MS,
        last=last_ms,
        count=30,
        event_time_ms=last_ms,
    )
    place.consume([*records, (LEDGER, key, said)], bars=18, trades=0)
    begin, end = str(START_MS), str(START_MS + 40 * MINUTE_MS)
    code, out, _ = place.command("repair", symbol, "klines", "1m", "--from", begin, "--to", end)
    # The exchange has ended 25 bars; two were missing in the middle, five behind the last one.
    assert code == 1
    assert "30 looked at, 12 missing" in out
    assert "repaired: 7: open times" in out
    assert "REST cannot give: 5: open times" in out
    place.consume([], bars=25, trades=0)


def test_repair_says_what_is_wrong_with_the_question(on_sqlite: Place, exchange: FakeExchange) -> None:
    place = on_sqlite
    code, _, err = place.command("repair", "NOPE", "trades", "--from", "1", "--to", "2")
    assert (code, "the ledger knows no NOPE trades" in err, err.count("\n")) == (2, True, 1)
