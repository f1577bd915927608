from __future__ import annotations

import threading
from pathlib import Path

import orjson
import pytest

from cryptostream import cli
from cryptostream.doctor import store
from cryptostream.doctor.checks import Check, Finding, run_checks
from cryptostream.doctor.exchange import clock_finding, symbol_findings
from cryptostream.doctor.kafka import topic_findings
from cryptostream.doctor.store import bucket_findings, disk_finding
from cryptostream.topics_admin import TopicReport
from shared.errors import BrokerUnavailable

NOBODY = {
    "BINANCE_REST_URL": "http://127.0.0.1:1",
    "BINANCE_WS_URL": "ws://127.0.0.1:1",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "STORE": "influxdb",
    "INFLUX_URL": "http://127.0.0.1:1",
    "INFLUX_TOKEN": "very-secret",
}


@pytest.fixture
def nobody_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SYMBOLS", "INTERVALS", "BINANCE_HISTORY_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in NOBODY.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that refuses does so at once: asked again for some seconds it says nothing else."""
    monkeypatch.setattr("shared.kafka_reader._CONNECT_S", 0.2)
    monkeypatch.setattr("cryptostream.doctor.kafka._ANSWER_S", 0.2)


@pytest.mark.thorough
def test_with_nothing_running_each_check_fails_with_its_own_line(
    nobody_there: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor"]) == 1
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    failed = {line[6:22].strip() for line in lines if line.startswith("fail")}
    assert failed == {
        *("exchange rest", "exchange symbols", "exchange stream"),
        *("kafka", "kafka topics", "store", "store reading", "store buckets"),
    }
    assert all(" → " in line for line in lines if line.startswith(("fail", "warn")))
    assert "very-secret" not in printed.out + printed.err
    assert "Traceback" not in printed.out + printed.err


def test_json_says_the_same(nobody_there: None, soon: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--format", "json"]) == 1
    findings = orjson.loads(capsys.readouterr().out)
    kafka = next(finding for finding in findings if finding["check"] == "kafka")
    assert kafka["status"] == "fail"
    assert all(finding["mend"] for finding in findings if finding["status"] == "fail")


@pytest.mark.thorough
def test_one_exchange_can_be_checked_alone(
    nobody_there: None, soon: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KRAKEN_REST_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("KRAKEN_WS_URL", "ws://127.0.0.1:1")
    for symbols, count in (("BTCUSDC,kraken:BTC/USD", 1), ("BTCUSDC", 4)):
        monkeypatch.setenv("SYMBOLS", symbols)
        assert cli.main(["doctor", "--exchange", "kraken"]) == 1
        out = capsys.readouterr().out
        assert f": kraken, {count} symbols," in out
        assert "exchange symbols" in out and "KRAKEN_REST_URL" in out and "BINANCE_REST_URL" not in out


def test_a_symbol_written_in_another_exchanges_way_is_a_finding(
    nobody_there: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for symbols, expected in (
        (
            "kraken:BTCUSD",
            'SYMBOLS: "kraken:BTCUSD" is not a pair of Kraken → write base and quote with a slash',
        ),
        ("BTC/USD", 'SYMBOLS: "BTC/USD" is not a symbol → write them like BTCUSDC'),
        (
            "ftx:BTC",
            'SYMBOLS: "ftx:BTC" names no exchange that is here → exchanges: binance, kraken, coinbase',
        ),
    ):
        monkeypatch.setenv("SYMBOLS", symbols)
        assert cli.main(["doctor"]) == 1
        assert f"fail  settings  {expected}" in capsys.readouterr().out


def test_wrong_settings_are_a_finding(
    nobody_there: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INTERVALS", "7m")
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert out.startswith('fail  settings  INTERVALS: "7m" is not an interval of bars → choose from 1s')


def test_indicators_that_no_consumer_would_start_with_are_a_finding(
    nobody_there: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INDICATORS", "momentum,trend_sma_fast(1e400)")
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert out.startswith('fail  settings  INDICATORS: "1e400" is not a window of trend_sma_fast')


@pytest.mark.thorough
def test_what_the_snapshots_would_refuse_is_a_finding_beside_the_others(
    nobody_there: None, soon: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SNAPSHOT_LANDING", "somewhere")
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert 'fail  settings          SNAPSHOT_LANDING: "somewhere" is not an address of snapshots' in out
    assert "exchange rest" in out
    monkeypatch.setenv("BINANCE_REST_URL", "ftp://there")
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert out.count("BINANCE_REST_URL") == 1 and "SNAPSHOT_LANDING" in out and "exchange rest" not in out


@pytest.mark.thorough
def test_no_setting_makes_a_finding_of_any_length(
    nobody_there: None, soon: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BINANCE_REST_URL", "http://exchange.example")
    for name in ("http_proxy", "https_proxy", "INFLUX_ORG", "INFLUX_BUCKET_MARKET"):
        monkeypatch.setenv(name, "x" * 90_000)
    assert cli.main(["doctor"]) == 1
    assert "(http_proxy)" in (out := capsys.readouterr().out) and max(map(len, out.splitlines())) < 1_000


def test_a_check_that_hangs_or_breaks_leaves_the_others_alone() -> None:
    never = threading.Event()

    def hangs() -> list[Finding]:
        never.wait()
        return []

    def breaks() -> list[Finding]:
        raise ZeroDivisionError("nothing")

    def unreachable() -> list[Finding]:
        raise BrokerUnavailable("KAFKA: nobody answers; start it")

    found = run_checks(
        [
            Check("hangs", hangs),
            Check("breaks", breaks),
            Check("unreachable", unreachable),
            Check("good", lambda: [Finding("good", "ok", "fine")]),
        ],
        limit_s=0.3,
    )
    never.set()
    assert [finding.status for finding in found] == ["fail", "fail", "fail", "ok"]
    assert found[0].detail == "no answer within 0.3 s"
    assert found[1].detail == "unexpected ZeroDivisionError: nothing"
    assert (found[2].detail, found[2].fix) == ("KAFKA: nobody answers", "start it")


@pytest.mark.parametrize(
    ("offset_ms", "status"), [(0, "ok"), (-900, "ok"), (1_500, "warn"), (-40_000, "fail"), (40_000, "fail")]
)
def test_a_clock_is_judged_by_how_far_it_is_off(offset_ms: float, status: str) -> None:
    assert clock_finding(offset_ms).status == status


def test_symbols_are_traded_closed_or_unknown() -> None:
    listed = {"BTCUSDC": "TRADING", "ETHUSDC": "BREAK"}
    found = symbol_findings(["BTCUSDC", "ETHUSDC", "BTCUSCD"], listed, ["BTCUSDC", "LTCUSDC"])
    assert [finding.status for finding in found] == ["fail", "warn", "ok"]
    assert "did you mean BTCUSDC" in found[0].fix
    assert "BREAK" in found[1].detail


def test_topics_that_are_missing_or_differ_are_named() -> None:
    reports = [TopicReport(f"t{number}", "missing", 0) for number in range(5)]
    reports.append(TopicReport("d", "differs", 4, "4 partitions, declared 6"))
    missing, differs = topic_findings(reports)
    assert missing.detail == "5 of 6 are missing: t0, t1, t2 and 2 more"
    assert differs.detail == "d: 4 partitions, declared 6"
    assert [finding.status for finding in topic_findings([TopicReport("t", "ok", 6)])] == ["ok"]


@pytest.mark.parametrize(
    ("market_s", "ticks_s", "statuses"),
    [
        (0, 604_800, ["ok", "ok"]),
        (86_400, 604_800, ["fail", "ok"]),
        (0, 3_600, ["ok", "fail"]),
        (0, 0, ["ok", "warn"]),
        (None, 604_800, ["warn", "ok"]),
    ],
)
def test_buckets_must_keep_what_they_are_for(
    market_s: int | None, ticks_s: int | None, statuses: list[str]
) -> None:
    found = bucket_findings({"market": "m", "ticks": "t"}, {"market": market_s, "ticks": ticks_s})
    assert [finding.status for finding in found] == statuses


def test_a_full_disk_fails_and_a_nearly_full_one_warns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert disk_finding(tmp_path / "not" / "there").detail.endswith(str(tmp_path))
    monkeypatch.setattr(store, "LOW_BYTES", 2**62)
    assert disk_finding(tmp_path).status == "warn"
    monkeypatch.setattr(store, "FULL_BYTES", 2**62)
    assert disk_finding(tmp_path).status == "fail"
