"""`cryptostream ledger` on a store without a broker."""

from __future__ import annotations

import csv
import io
import os
import sqlite3
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from consumers.measurements import (
    CARRIAGE,
    FRESHNESS,
    INDICATOR,
    KLINE,
    LEDGER,
    SERVICE,
    TRADE,
    Point,
    Series,
)
from consumers.stores.sqlite import SqliteStore
from cryptostream import cli, data_dir

MINUTE_NS = 60 * 10**9
# Ten full minutes, an hour ago.
FIRST_NS = (time.time_ns() // MINUTE_NS - 60) * MINUTE_NS
MINUTES = 10
PER_MINUTE = 6


def ledger_row(minute: int, counts: tuple[int, ...], stream: str = "trades", interval: str = "") -> Point:
    series = Series(LEDGER, ("binance", "BTCUSDC", stream, interval))
    return Point(series, FIRST_NS + minute * MINUTE_NS, counts)


def trade(trade_id: int) -> Point:
    time_ns = FIRST_NS + trade_id * MINUTE_NS // PER_MINUTE + trade_id
    return Point(Series(TRADE, ("binance", "BTCUSDC")), time_ns, (trade_id, 64_000.5, 0.25, True))


def spoken(time_ns: int) -> Point:
    """A service was at work."""
    return Point(Series(SERVICE, ("producer", "1")), time_ns, (1.0, 0, 0.0, 0, 0, True))


def carriage(stream: str, minute: int, *, carried: bool) -> Point:
    """What was reported of a stream that was not carried from minute 2 on."""
    series = Series(CARRIAGE, ("binance", "BTCUSDC", stream))
    since_ms = (FIRST_NS + 2 * MINUTE_NS) // 10**6
    return Point(series, FIRST_NS + minute * MINUTE_NS, (carried, since_ms))


def bar(minute: int) -> list[Point]:
    tags, time_ns = ("binance", "BTCUSDC", "1m"), FIRST_NS + minute * MINUTE_NS
    return [
        Point(Series(KLINE, tags), time_ns, (1.0, 2.0, 0.5, 1.5, 10.0, 15.0, 5.0, 7.5, 3)),
        Point(Series(INDICATOR.with_columns(("volume_adi",)), tags), time_ns, (1.0,)),
    ]


def at(minute: int) -> str:
    return datetime.fromtimestamp((FIRST_NS + minute * MINUTE_NS) // 10**9, UTC).isoformat()


class Ledger:
    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = directory / data_dir.STORE_FILE
        self._directory = directory
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        code = cli.main(["ledger", *words, "--data-dir", str(self._directory)])
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err

    def write(self, *points: Point) -> None:
        store = SqliteStore(self.path)
        store.write(points)
        store.close()

    def end(self) -> None:
        """The run in this directory ends."""
        child = subprocess.Popen(["true"])
        child.wait()
        self.path.with_name(data_dir.LOCK_FILE).write_text(str(child.pid))

    def execute(self, statement: str) -> None:
        connection = sqlite3.connect(self.path)
        with connection:
            connection.execute(statement)
        connection.close()


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ledger:
    for name in ("STORE", "SQLITE_PATH", "INFLUX_URL", "EXCHANGE", "KAFKA_BOOTSTRAP_SERVERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    run = Ledger(tmp_path, capsys)
    run.write(*(trade(number) for number in range(MINUTES * PER_MINUTE)))
    run.write(*(point for minute in range(MINUTES) for point in bar(minute)))
    run.write(*(ledger_row(minute, (PER_MINUTE, PER_MINUTE, 2, 0, 0, 1)) for minute in range(MINUTES)))
    run.write(*(ledger_row(minute, (1, 1, 0, 0, 0, 0), "klines", "1m") for minute in range(MINUTES)))
    return run


def test_a_store_that_is_as_claimed_is_complete(ledger: Ledger) -> None:
    code, out, err = ledger("--verify")
    assert (code, err) == (0, "")
    assert "complete: nothing lost, the store has all of 70 claimed" in out
    lines = out.splitlines()
    assert lines[0].split() == [
        *("symbol", "stream", "interval"),
        *("expected", "stored", "backfilled", "halted", "offline", "lost", "duplicates", "unknown"),
    ]
    # What was offline is not in minute rows: it is not said to be nothing.
    assert lines[1].split() == ["BTCUSDC", "trades", "60", "60", "20", "0", "–", "0", "10", "–"]
    assert lines[2].split() == ["BTCUSDC", "klines", "1m", "10", "10", "0", "0", "–", "0", "0", "–"]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "delete from trade where trade_id in (7, 8, 13)",
            "BTCUSDC trades: 3 claimed as stored are not in the store",
        ),
        (f"delete from kline where time_ns = {FIRST_NS}", "BTCUSDC klines 1m: 1 claimed as stored are not"),
        (f"delete from indicator where time_ns = {FIRST_NS}", "BTCUSDC klines 1m: 1 have no indicator point"),
        (
            f"delete from ledger where stream = 'trades' and time_ns = {FIRST_NS}",
            "6 in the store are in no claim",
        ),
        ("delete from ledger where stream = 'trades'", "BTCUSDC trades: 60 in the store are in no claim"),
    ],
    # The times change with the minute, and workers may collect on both sides of one.
    ids=("trades", "bar", "indicator", "row of a minute", "all rows of trades"),
)
def test_rows_changed_behind_its_back_make_verification_fail(
    ledger: Ledger, statement: str, expected: str
) -> None:
    ledger.execute(statement)
    code, out, _ = ledger("--verify")
    assert code == 1
    assert expected in out
    assert out.splitlines()[-2].startswith("NOT COMPLETE: nothing lost, ")
    assert "THE STORE DISAGREES in 1 of 2 series" in out


def test_without_verification_the_claims_are_believed(ledger: Ledger) -> None:
    ledger.execute("delete from trade")
    assert ledger()[0] == 0


def test_what_the_newest_minutes_have_beyond_their_rows_is_on_its_way_while_services_are_at_work(
    ledger: Ledger,
) -> None:
    ledger.write(*(trade(number) for number in range(60, 63)))
    ledger.write(spoken(time.time_ns() - 70 * 10**9))
    code, out, _ = ledger("--verify")
    assert code == 0
    assert "BTCUSDC trades: 3 in the store are too new to be claimed already" in out


def test_what_no_service_can_claim_any_more_is_in_no_claim(ledger: Ledger) -> None:
    ledger.write(*(trade(number) for number in range(60, 63)))
    ledger.write(spoken(time.time_ns() - 5 * MINUTE_NS))
    code, out, _ = ledger("--verify")
    assert code == 1
    assert "BTCUSDC trades: 3 in the store are in no claim" in out
    assert "NOT COMPLETE: nothing lost, not all is known, THE STORE DISAGREES in 1 of 2 series" in out


def test_of_a_run_that_has_ended_nothing_is_on_its_way(ledger: Ledger) -> None:
    ledger.write(*(trade(number) for number in range(60, 63)), spoken(time.time_ns()))
    lock = ledger.path.with_name(data_dir.LOCK_FILE)
    lock.write_text(str(os.getpid()))
    assert ledger("--verify")[0] == 0
    ledger.end()
    code, out, _ = ledger("--verify")
    assert code == 1
    assert "BTCUSDC trades: 3 in the store are in no claim" in out


def test_a_series_that_was_stored_and_never_claimed_is_unknown_without_a_recount(ledger: Ledger) -> None:
    ledger.execute("delete from ledger where stream = 'trades'")
    code, out, _ = ledger()
    assert code == 1
    assert "unknown: BTCUSDC trades: stored, and in no claim" in out
    assert "NOT COMPLETE: nothing lost, not all is known" in out
    _, out, _ = ledger("--format", "json")
    (unknown,) = orjson.loads(out)["unknown"]
    assert (unknown["series"], unknown["since_ms"]) == ([["binance", "BTCUSDC", "trades", ""]], None)


def test_a_series_that_was_stored_minutes_beyond_its_last_claim_is_unknown_since_then(ledger: Ledger) -> None:
    ledger.execute(f"delete from ledger where stream = 'trades' and time_ns > {FIRST_NS + 7 * MINUTE_NS}")
    code, out, _ = ledger("--format", "json")
    (unknown,) = orjson.loads(out)["unknown"]
    assert (code, unknown["since_ms"]) == (1, FIRST_NS // 10**6 + 7 * 60_000)
    ledger.write(spoken(time.time_ns()))
    assert ledger()[0] == 0


def test_a_stream_that_the_store_has_as_not_carried_is_named_until_it_is_again(ledger: Ledger) -> None:
    ledger.write(carriage("klines 1m", 2, carried=False), carriage("klines 1m", 3, carried=False))
    code, out, _ = ledger()
    assert code == 1
    assert "not carried now: BTCUSDC klines 1m since 20" in out
    assert "NOT COMPLETE: nothing lost, 1 streams not carried now" in out
    code, out, _ = ledger("--format", "json")
    content = orjson.loads(out)
    (note,) = content["not_carried_now"]
    first_ms = FIRST_NS // 10**6
    assert (code, content["complete"]) == (1, False)
    assert (note["stream"], note["interval"], note["since_ms"], note["until_ms"]) == (
        *("klines", "1m"),
        *(first_ms + 120_000, first_ms + 180_000),
    )
    assert ledger("--stream", "trades")[0] == 0
    ledger.write(carriage("klines 1m", 4, carried=True))
    code, out, _ = ledger()
    assert (code, "carried" in out) == (0, False)


def test_a_stream_that_has_not_been_carried_since_before_a_time_is_not_carried_in_it(ledger: Ledger) -> None:
    ledger.write(*(carriage("depth", minute, carried=False) for minute in range(2, MINUTES)))
    code, out, _ = ledger("--from", at(8))
    assert code == 1
    assert "not carried now: BTCUSDC depth since 20" in out
    assert "NOT COMPLETE: nothing lost, 1 streams not carried now" in out


def test_a_book_that_was_not_carried_at_the_end_leaves_a_run_incomplete(ledger: Ledger) -> None:
    ledger.write(carriage("depth", 9, carried=False))
    code, out, _ = ledger("--verify")
    assert code == 1
    assert "not carried now: BTCUSDC depth since 20" in out


def test_a_store_without_a_report_of_carriage_says_what_that_proves(ledger: Ledger) -> None:
    code, out, _ = ledger()
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("carriage: ")]
    assert "the store has no report that a stream was not carried" in line
    assert line.endswith("(--from)")
    assert orjson.loads(ledger("--format", "json")[1])["carriage_reported"] is False
    ledger.write(carriage("trades", 3, carried=True))
    assert "carriage: " not in ledger()[1]
    assert orjson.loads(ledger("--format", "json")[1])["carriage_reported"] is True


def test_carriage_that_has_expired_is_unknown(ledger: Ledger) -> None:
    later = ledger_row(8 * 1440, (1, 1, 0, 0, 0, 0))
    series = Series(LEDGER, ("binance", "ETHUSDC", "trades", ""))
    ledger.write(later._replace(series=series))
    code, out, _ = ledger()
    assert code == 1
    assert "unknown: BTCUSDC trades, BTCUSDC klines 1m: whether they were carried at their end" in out
    assert "NOT COMPLETE: nothing lost, not all is known" in out
    # The other is followed.
    assert ledger("--symbol", "ETHUSDC")[0] == 0


def test_lost_ids_are_named_by_their_minutes(ledger: Ledger) -> None:
    ledger.write(ledger_row(3, (9, 6, 0, 0, 3, 0)), ledger_row(4, (7, 6, 0, 0, 1, 0)))
    code, out, _ = ledger()
    assert code == 1
    assert "lost: BTCUSDC trades: 4: minutes 20" in out
    assert "NOT COMPLETE: 4 lost" in out
    code, out, _ = ledger("--format", "json")
    content = orjson.loads(out)
    first_ms = FIRST_NS // 10**6
    assert content["series"][0]["lost_ranges"] == [[first_ms + 180_000, first_ms + 240_000]]
    assert (code, content["complete"]) == (1, False)


def minutes_until_now() -> int:
    return time.time_ns() // MINUTE_NS - FIRST_NS // MINUTE_NS


def test_what_is_lost_in_the_last_two_minutes_may_still_come_while_services_are_at_work(
    ledger: Ledger,
) -> None:
    ledger.write(ledger_row(minutes_until_now(), (9, 6, 0, 0, 3, 0)), spoken(time.time_ns()))
    code, out, _ = ledger()
    assert code == 0
    assert "on their way: BTCUSDC trades: 3" in out


@pytest.mark.parametrize("ahead", [0, 120], ids=("in step", "the exchange's clock is ahead"))
def test_what_a_run_that_has_ended_lost_in_its_last_two_minutes_is_lost(ledger: Ledger, ahead: int) -> None:
    newest = minutes_until_now() + ahead
    ledger.write(ledger_row(newest - 1, (9, 5, 0, 0, 4, 0)), ledger_row(newest, (9, 6, 0, 0, 3, 0)))
    ledger.write(spoken(time.time_ns()))
    assert ledger()[0] == 0
    ledger.end()
    code, out, _ = ledger()
    assert (code, "on their way" in out) == (1, False)
    assert "lost: BTCUSDC trades: 7: minutes 20" in out
    assert "NOT COMPLETE: 7 lost" in out


def test_of_services_that_have_been_silent_for_minutes_nothing_is_on_its_way(ledger: Ledger) -> None:
    ledger.write(ledger_row(minutes_until_now(), (9, 6, 0, 0, 3, 0)), spoken(time.time_ns() - 5 * MINUTE_NS))
    code, out, _ = ledger()
    assert code == 1
    assert "NOT COMPLETE: 3 lost" in out


def test_a_time_after_all_that_was_counted_is_unknown_and_not_complete(ledger: Ledger) -> None:
    code, out, _ = ledger("--from", at(MINUTES))
    assert code == 1
    assert out.splitlines()[1].split()[:4] == ["BTCUSDC", "trades", "0", "0"]
    assert "unknown: BTCUSDC trades, BTCUSDC klines 1m since 20" in out
    assert "NOT COMPLETE: nothing is known of the time asked for\n" in out
    code, out, _ = ledger("--from", at(MINUTES), "--format", "json")
    content = orjson.loads(out)
    assert (code, content["complete"]) == (1, False)
    assert content["unknown"][0]["since_ms"] == FIRST_NS // 10**6 + MINUTES * 60_000
    assert ledger("--from", at(MINUTES), "--verify")[0] == 1


def test_a_time_before_all_that_was_counted_has_nothing(ledger: Ledger) -> None:
    code, out, err = ledger("--to", at(0))
    assert (code, out) == (1, "")
    assert "the ledger has nothing in that time" in err


def test_a_series_that_ended_before_the_time_asked_for_is_shown_beside_those_that_went_on(
    ledger: Ledger,
) -> None:
    ended = Series(LEDGER, ("binance", "ETHUSDC", "klines", "1m"))
    ledger.write(ledger_row(2, (1, 1, 0, 0, 0, 0))._replace(series=ended))
    code, out, _ = ledger("--from", at(5))
    assert code == 0
    assert ["ETHUSDC", "klines", "1m", "0", "0", "0", "0", "–", "0", "0", "–"] in [
        line.split() for line in out.splitlines()
    ]


def test_minutes_without_a_trade_were_looked_at_if_bars_went_on(ledger: Ledger) -> None:
    begin_ns = FIRST_NS + 5 * MINUTE_NS
    ledger.execute(f"delete from ledger where stream = 'trades' and time_ns >= {begin_ns}")
    ledger.execute(f"delete from trade where time_ns >= {begin_ns}")
    code, out, _ = ledger("--stream", "trades", "--from", at(6))
    assert (code, out.splitlines()[1].split()[:3]) == (0, ["BTCUSDC", "trades", "0"])
    ledger.execute(f"delete from ledger where time_ns >= {begin_ns}")
    code, out, _ = ledger("--stream", "trades", "--from", at(6))
    assert (code, "nothing lost" in out) == (1, False)


def test_csv_has_a_line_a_series_and_leaves_out_what_is_not_known(ledger: Ledger) -> None:
    _, out, _ = ledger("--format", "csv", "--stream", "trades")
    (row,) = csv.DictReader(io.StringIO(out))
    assert (row["symbol"], row["expected"], row["offline"], row["missing_in_store"]) == (
        "BTCUSDC",
        "60",
        "",
        "",
    )
    _, out, _ = ledger("--format", "csv", "--stream", "trades", "--verify")
    (row,) = csv.DictReader(io.StringIO(out))
    assert (row["missing_in_store"], row["without_indicators"]) == ("0", "0")


def test_freshness_is_the_newest_of_each_hop_and_of_several_instances_the_slowest(ledger: Ledger) -> None:
    now_ns = time.time_ns() // 10**10 * 10**10
    for hop, instance, at_ns, p95 in (
        ("stored", "1", now_ns, 150.0),
        ("stored", "2", now_ns, 250.0),
        ("stored", "1", now_ns - 10**10, 900.0),
        ("socket", "1", now_ns, -3.0),
        ("kafka", "old", now_ns - 3_600 * 10**9, 5.0),
    ):
        series = Series(FRESHNESS, ("binance", "trades", hop, instance))
        ledger.write(Point(series, at_ns, (p95 - 1, p95, p95 + 1)))
    _, out, _ = ledger()
    (shown,) = [text for text in out.split("\n\n") if text.startswith("freshness")]
    assert [line.split() for line in shown.splitlines()[1:]] == [
        # A clock that is behind gives a negative latency: shown, not hidden.
        ["trades", "socket", "-4", "-3", "-2"],
        ["trades", "stored", "249", "250", "251"],
    ]


@pytest.fixture
def of_several(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """The same store, with one minute of the same symbol at another exchange."""
    series = Series(LEDGER, ("coinbase", "BTCUSDC", "trades", ""))
    ledger.write(ledger_row(0, (PER_MINUTE, 1, 0, 0, PER_MINUTE - 1, 0))._replace(series=series))
    ledger.write(trade(0)._replace(series=Series(TRADE, ("coinbase", "BTCUSDC"))))
    monkeypatch.setenv("SYMBOLS", "BTCUSDC,kraken:BTC/USD")
    return ledger


def test_series_of_several_exchanges_say_whose_they_are(of_several: Ledger) -> None:
    code, out, _ = of_several("--verify")
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()[1:4]] == [
        "binance:BTCUSDC",
        "binance:BTCUSDC",
        "coinbase:BTCUSDC",
    ]
    assert "lost: coinbase:BTCUSDC trades: 5" in out


def test_one_exchanges_symbol_can_be_asked_for(of_several: Ledger) -> None:
    code, out, _ = of_several("--symbol", "coinbase:btc-usdc")
    assert (code, out) == (1, "")
    _, out, _ = of_several("--symbol", "binance:btcusdc", "--format", "csv", "--verify")
    assert {row["exchange"] for row in csv.DictReader(io.StringIO(out))} == {"binance"}
    # The deployment has it at one exchange alone.
    assert of_several("--symbol", "BTCUSDC", "--format", "csv", "--verify")[1] == out


def test_freshness_is_of_each_exchange_where_there_are_several(of_several: Ledger) -> None:
    now_ns = time.time_ns() // 10**10 * 10**10
    for exchange, p95 in (("binance", 150.0), ("coinbase", 250.0)):
        series = Series(FRESHNESS, (exchange, "trades", "stored", "0"))
        of_several.write(Point(series, now_ns, (p95 - 1, p95, p95 + 1)))
    _, out, _ = of_several()
    assert ["binance", "trades", "stored", "149", "150", "151"] in [line.split() for line in out.splitlines()]
    assert ["coinbase", "trades", "stored", "249", "250", "251"] in [
        line.split() for line in out.splitlines()
    ]
    _, out, _ = of_several("--symbol", "binance:BTCUSDC")
    assert ["trades", "stored", "149", "150", "151"] in [line.split() for line in out.splitlines()]


def test_a_misspelt_symbol_is_answered_with_the_one_that_is_meant(ledger: Ledger) -> None:
    code, _, err = ledger("--symbol", "BTCUSCD")
    assert code == 1
    assert err.endswith("nothing of BTCUSCD (minute rows of the store); did you mean BTCUSDC?\n")


def test_an_empty_answer_says_what_to_do(ledger: Ledger) -> None:
    code, out, err = ledger("--symbol", "NOPE")
    assert (code, out) == (1, "")
    assert err == (
        "error: the ledger has nothing of NOPE (minute rows of the store);"
        " ask for another, or start with `make run`\n"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--interval", "7m"], "unknown interval '7m'; choose from 1s"),
        (["--stream", "trades", "--interval", "1m"], "trades have none"),
        (["--from", "2026-01-02", "--to", "2026-01-01"], "not before --to"),
    ],
)
def test_a_wrong_command_line_is_exit_2_and_one_line(ledger: Ledger, words: list[str], expected: str) -> None:
    code, out, err = ledger(*words)
    assert (code, out) == (2, "")
    assert expected in err
    assert err.count("\n") == 1


@pytest.mark.thorough
def test_a_broker_that_does_not_answer_is_missed_aloud_and_the_store_asked(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    # The port refuses at once, and for ever.
    monkeypatch.setattr("shared.kafka_reader._CONNECT_S", 0.2)
    monkeypatch.setenv("SQLITE_PATH", str(ledger.path))
    assert cli.main(["ledger"]) == 0
    printed = capsys.readouterr()
    assert "no Kafka answers at 127.0.0.1:1" in printed.err
    assert printed.err.count("\n") == 1
    assert "claims: minute rows of the store" in printed.out
