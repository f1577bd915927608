"""`doctor` with everything running, and with one thing after the other wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from cryptostream import cli
from cryptostream.topics_admin import ensure_topics
from tests.conftest import Influx, real_kafka
from tests.integration.test_stores_influxdb import call, make_bucket
from tests.services import simulator

Findings = dict[str, list[dict[str, str]]]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker without any topic."""
    with real_kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server.bootstrap_servers


@pytest.fixture(scope="module")
def exchange() -> Iterator[dict[str, Any]]:
    with simulator(["--symbols", "BTCUSDC,ETHUSDC", "--rate", "5"]) as running:
        yield running


@pytest.fixture
def org_id(influx: Influx) -> str:
    return str(call(influx, "GET", f"/api/v2/orgs?org={influx.org}")["orgs"][0]["id"])


@pytest.fixture
def doctor(
    *,
    kafka: str,
    exchange: dict[str, Any],
    influx: Influx,
    org_id: str,
    unique: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, Findings]]:
    """Runs the doctor on real services, with some settings changed; findings by check."""
    market, ticks = f"market-{unique}", f"ticks-{unique}"
    make_bucket(influx, org_id, market, 0)
    make_bucket(influx, org_id, ticks, 7 * 86_400)
    good = {
        "BINANCE_REST_URL": exchange["rest_url"],
        "BINANCE_WS_URL": exchange["ws_url"],
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "SYMBOLS": "BTCUSDC,ETHUSDC",
        "INTERVALS": "1m",
        "STORE": "influxdb",
        "INFLUX_URL": influx.url,
        "INFLUX_ORG": influx.org,
        "INFLUX_TOKEN": influx.token,
        "INFLUX_BUCKET_MARKET": market,
        "INFLUX_BUCKET_TICKS": ticks,
    }

    def run(**changes: str) -> tuple[int, Findings]:
        for name, value in {**good, **changes}.items():
            monkeypatch.setenv(name, value)
        code = cli.main(["doctor", "--format", "json"])
        printed = capsys.readouterr()
        assert influx.token not in printed.out + printed.err
        findings: Findings = {}
        for finding in orjson.loads(printed.out):
            findings.setdefault(finding["check"], []).append(finding)
        return code, findings

    return run


def test_what_is_missing_is_named_and_what_is_mended_is_well(
    doctor: Callable[..., tuple[int, Findings]], kafka: str
) -> None:
    code, found = doctor()
    assert code == 1
    (topics,) = found["kafka topics"]
    assert (topics["status"], topics["mend"]) == ("fail", "create them by: cryptostream topics")
    ensure_topics(kafka, ("1m",))
    code, found = doctor()
    assert {name: [finding["status"] for finding in of] for name, of in found.items()} == {
        "settings": ["ok"],
        "proxy": ["ok"],
        "exchange rest": ["ok"],
        "clock": ["ok"],
        "exchange symbols": ["ok"],
        "exchange history": ["ok"],
        "exchange stream": ["ok"],
        "kafka": ["ok"],
        "kafka topics": ["ok"],
        "store": ["ok"],
        "store reading": ["ok"],
        "store buckets": ["ok", "ok"],
        "disk": ["ok"],
    }
    assert code == 0


def test_one_wrong_thing_is_one_failed_check(
    doctor: Callable[..., tuple[int, Findings]], kafka: str, influx: Influx, org_id: str, unique: str
) -> None:
    ensure_topics(kafka, ("1m",))
    make_bucket(influx, org_id, f"short-{unique}", 86_400)
    for changes, check, said in (
        ({"SYMBOLS": "BTCUSDC,NOPE"}, "exchange symbols", "NOPE is not traded there"),
        ({"INTERVALS": "1m,1h"}, "kafka topics", "market.klines.1h"),
        ({"INFLUX_BUCKET_TICKS": f"short-{unique}"}, "store buckets", "keeps 24 hours, not 7 days"),
        ({"BINANCE_WS_URL": "ws://127.0.0.1:1"}, "exchange stream", "no connection"),
    ):
        code, found = doctor(**changes)
        failed = {
            finding["check"]: finding
            for of in found.values()
            for finding in of
            if finding["status"] == "fail"
        }
        assert (code, set(failed)) == (1, {check})
        assert said in failed[check]["detail"]


def test_a_token_that_may_only_write_is_enough_for_services_and_is_said(
    doctor: Callable[..., tuple[int, Findings]], kafka: str, influx: Influx, org_id: str, unique: str
) -> None:
    ensure_topics(kafka, ("1m",))
    code, found = doctor(INFLUX_TOKEN=scoped_token(influx, org_id, "write", unique))
    assert [finding["status"] for finding in found["store"]] == ["ok"]
    (reading,) = found["store reading"]
    assert (reading["status"], "query, ledger --verify and Grafana need another" in reading["detail"]) == (
        "warn",
        True,
    )
    assert code == 0
    code, found = doctor(INFLUX_TOKEN="nonsense")
    assert code == 1
    assert "INFLUX_TOKEN: refused by" in found["store"][0]["detail"]


def test_a_token_that_may_only_read_is_enough_for_questions_and_is_said(
    doctor: Callable[..., tuple[int, Findings]], kafka: str, influx: Influx, org_id: str, unique: str
) -> None:
    ensure_topics(kafka, ("1m",))
    code, found = doctor(INFLUX_TOKEN=scoped_token(influx, org_id, "read", unique))
    (writing,) = found["store"]
    assert (writing["status"], "consumers need another" in writing["detail"]) == ("warn", True)
    assert [finding["status"] for finding in found["store reading"]] == ["ok"]
    assert code == 0


def scoped_token(influx: Influx, org_id: str, action: str, unique: str) -> str:
    """One that may do this in this test's buckets, and nothing else."""
    permissions = [
        {"action": action, "resource": {"type": "buckets", "id": bucket["id"], "orgID": org_id}}
        for bucket in call(influx, "GET", "/api/v2/buckets?limit=100")["buckets"]
        if bucket["name"].endswith(unique)
    ]
    made = call(influx, "POST", "/api/v2/authorizations", {"orgID": org_id, "permissions": permissions})
    return str(made["token"])
