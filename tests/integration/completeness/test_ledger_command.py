"""`ledger` between a real Kafka, real stores and rows that were taken away behind its back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
import urllib3

from shared.topics import LEDGER
from tests.builders import ledger
from tests.conftest import Influx
from tests.integration.completeness.place import (
    BARS,
    START_MS,
    TRADES_COUNT,
    Place,
    delete,
    market,
)
from tests.integration.consumer_harness import publish
from tests.integration.fake_exchange import MINUTE_MS
from tests.integration.test_stores_influxdb import call, make_bucket, settings_of


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
    # Of a time after the newest report nothing is known, and before the first one there is nothing.
    code, found = place.verify("--from", "2099-01-01")
    assert (code, found["complete"], bool(found["unknown"])) == (1, False, True)
    code, out, _ = place.command("ledger", "--symbol", place.symbol, "--to", "2010-01-01")
    assert (code, out) == (1, "")


def test_points_deleted_in_influxdb_are_found(
    kafka: str,
    influx: Influx,
    unique: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    org_id = str(call(influx, "GET", f"/api/v2/orgs?org={influx.org}")["orgs"][0]["id"])
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
