"""InfluxDB behind a proxy that misbehaves: partitions pause, nothing is lost or claimed early."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer

from consumers.measurements import TRADE, Point
from consumers.partitions.assigned import Partitions
from consumers.service import StreamConsumer
from consumers.stores.port import Store
from cryptostream.engines.influxdb import InfluxServer
from cryptostream.engines.kafka import KafkaServer
from cryptostream.topics_admin import ensure_topics
from shared.errors import StoreUnavailable
from shared.id_ranges import IdRanges
from shared.kafka import producer_config
from shared.topics import DEAD_LETTERS, LEDGER, TRADES
from tests.conftest import real_influx, real_kafka
from tests.integration.consumer_harness import ConsumerRun, committed, member_ids, read_all, until
from tests.integration.store_proxy import CUT, CUT_AFTER_COMMIT, SILENT, SLOW, TOO_LARGE, StoreProxy
from tests.integration.streaming import (
    Exported,
    Sent,
    count,
    environment,
    exported,
    influx_settings,
    running,
    send,
    trades,
    undisturbed,
)

# Trades older than a week would not be stored. Each test is ten minutes later than the one before it, so
# that its consumer begins with its own records: offsets wait for the minute before the newest one.
STARTS_MS = itertools.count((int(time.time()) // 60 - 1_440) * 60_000, 600_000)
GROUP = "cryptostream.trades"
# Of each symbol; so many symbols lie on all partitions.
BEFORE, ALL, SYMBOLS = 40, 250, 24


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    with real_kafka(tmp_path_factory.mktemp("kafka")) as server:
        ensure_topics(server.bootstrap_servers, ("1m",))
        yield server


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    with real_influx(tmp_path_factory.mktemp("influx")) as server:
        yield server


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer is given up after 1.5 s instead of 30."""
    monkeypatch.setattr("consumers.stores.influxdb_session._TIMEOUTS_MS", (1_000, 1_500))
    monkeypatch.delenv("INSTANCE", raising=False)


class Site:
    """Writes go through the proxy, reads that check the store do not; names that no other test uses."""

    def __init__(self, kafka: KafkaServer, influxd: InfluxServer, unique: str) -> None:
        self.broker = kafka.bootstrap_servers
        self.proxy = StoreProxy(influxd.url)
        self.settings = influx_settings(self.broker, influxd, influx_url=self.proxy.url)
        self.direct = influx_settings(self.broker, influxd)
        self.producer = Producer(producer_config(self.broker, "test"))
        self.start_ms = next(STARTS_MS)
        self.symbols = [f"{unique}{number}".upper() for number in range(SYMBOLS)]

    def trades(self, last: int, first: int = 0) -> list[Sent]:
        """Trades of these ids, of all symbols."""
        return trades(self.symbols, last, self.start_ms, first=first)

    def send(self, records: list[Sent]) -> None:
        send(self.producer, records)

    def stored(self) -> int:
        return count(self.direct, "trade", self.symbols)

    def until_stored(self, each: int) -> None:
        until(lambda: self.stored() == each * SYMBOLS, f"{each} trades of each symbol")

    def exported(self) -> Exported:
        return exported(self.direct, self.symbols)

    def committed(self) -> dict[int, int]:
        return committed(self.broker, GROUP, TRADES)

    def claimed(self) -> dict[str, IdRanges]:
        """Ids that the ledger was told are stored."""
        ids = {symbol: IdRanges() for symbol in self.symbols}
        for message in read_all(self.broker, LEDGER):
            event = orjson.loads(message.value() or b"")
            if event["symbol"] in ids and event["kind"] == "stored":
                ids[event["symbol"]].add(event["first"], event["last"])
        return ids

    def assert_nothing_is_claimed_early(self) -> None:
        stored = {
            (key[1][1], fields["trade_id"]) for key, fields in self.exported().items() if key[0] == "trade"
        }
        told = {
            (symbol, number)
            for symbol, ids in self.claimed().items()
            for first, last in ids
            for number in range(first, last + 1)
        }
        assert told <= stored


@pytest.fixture
def site(kafka: KafkaServer, influxd: InfluxServer, unique: str) -> Iterator[Site]:
    site = Site(kafka, influxd, unique)
    yield site
    site.proxy.close()


PAUSING = ["500", "503", "429", SILENT, CUT, CUT_AFTER_COMMIT]


@pytest.mark.parametrize("fault", ["refused", *PAUSING])
def test_an_outage_pauses_loses_nothing_and_claims_nothing(
    fault: str, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    records = site.trades(ALL)
    with running(site.settings):
        site.send(records[: BEFORE * SYMBOLS])
        site.until_stored(BEFORE)
        if fault == "refused":
            site.proxy.refuse()
        else:
            site.proxy.fault = fault
        site.send(records[BEFORE * SYMBOLS :])
        until(lambda: "paused, nothing is lost" in caplog.text, "the pause")
        before = site.committed()
        site.assert_nothing_is_claimed_early()
        if fault == "refused":
            assert site.committed() == before
            site.proxy.listen()
        else:
            until(lambda: site.proxy.fired[fault] >= 3, "three faults")
            assert site.committed() == before
            site.proxy.recover()
        site.until_stored(ALL)
        until(lambda: all(list(ids) == [(0, ALL - 1)] for ids in site.claimed().values()), "the ledger")
    assert site.exported() == undisturbed(records)
    print(f"{fault}: fired {site.proxy.fired[fault]} times")


class Forgetful:
    """The mechanism switched off: claims to have stored what the store did not take.

    Attributes:
        forgotten: series and times of the trades that the store did not take.
    """

    def __init__(self, store: Store, forgotten: set[tuple[str, int]]) -> None:
        self._store = store
        self.forgotten = forgotten
        self.expired = 0

    @property
    def oldest_kept_ns(self) -> int | None:
        return self._store.oldest_kept_ns

    def write(self, points: Sequence[Point]) -> Sequence[Point]:
        try:
            return self._store.write(points)
        except StoreUnavailable:
            self.forgotten |= {
                (point.series.tags[1], point.time_ns) for point in points if point.series.measurement is TRADE
            }
            return ()

    def close(self) -> None:
        self._store.close()


def test_without_the_retry_the_same_outage_loses_trades(site: Site) -> None:
    early, later = site.trades(BEFORE), site.trades(ALL, first=BEFORE)
    forgotten: set[tuple[str, int]] = set()
    with running(site.settings, wrap=lambda store: Forgetful(store, forgotten)):
        site.proxy.fault = "503"
        site.send(early)
        # The first faults may be met by the last records of the test before, which are read once more.
        until(
            lambda: sum(symbol in site.symbols for symbol, _ in list(forgotten)) == BEFORE * SYMBOLS,
            "all of them to meet the fault",
        )
        site.proxy.recover()
        site.send(later)
        until(lambda: site.stored() >= (ALL - BEFORE) * SYMBOLS, "the later trades")
    assert site.stored() < ALL * SYMBOLS
    with pytest.raises(AssertionError):
        site.assert_nothing_is_claimed_early()


@pytest.mark.parametrize("fault", [SLOW, TOO_LARGE])
def test_slow_answers_are_waited_for_and_too_large_requests_are_split(fault: str, site: Site) -> None:
    records = site.trades(ALL)
    site.proxy.fault = fault
    with running(site.settings):
        site.send(records)
        site.until_stored(ALL)
    assert site.exported() == undisturbed(records)
    assert site.proxy.fired[fault] >= 2


@pytest.mark.parametrize("status", ["400", "422"])
def test_bad_lines_alone_go_to_the_dead_letters(status: str, site: Site) -> None:
    bad, symbol = {7, 100, 101, ALL - 1}, site.symbols[0]
    site.proxy.fault = status
    site.proxy.bad = lambda line: symbol in line and any(f"trade_id={n}i" in line for n in bad)
    with running(site.settings):
        site.send(site.trades(ALL))
        until(lambda: site.stored() == ALL * SYMBOLS - len(bad), "the good trades")
        until(
            lambda: sum(map(IdRanges.id_count, site.claimed().values())) == ALL * SYMBOLS - len(bad),
            "the ledger",
        )
    letters = [
        orjson.loads(letter.value() or b"")
        for letter in read_all(site.broker, DEAD_LETTERS)
        if symbol.encode() in (letter.value() or b"")
    ]
    assert sorted(letter["fields"]["trade_id"] for letter in letters) == sorted(bad)
    assert not any(number in site.claimed()[symbol] for number in bad)
    assert site.proxy.fired[status] >= len(bad)


@pytest.mark.parametrize(("status", "line"), [("401", "error: INFLUX_TOKEN: "), ("404", "error: INFLUX_")])
def test_a_refused_token_or_bucket_stops_with_a_clear_line(status: str, line: str, site: Site) -> None:
    run = ConsumerRun(("--stream", "trades"), environment(site.settings))
    try:
        site.send(site.trades(5))
        site.until_stored(5)
        site.proxy.fault = status
        site.send(site.trades(10, first=5))
        _, errors = run.process.communicate(timeout=120)
    finally:
        run.process.kill()
    assert run.process.returncode == 1
    assert errors.splitlines()[-1].startswith(line)
    assert "Traceback" not in errors
    site.proxy.recover()
    # What it had not stored is read again.
    with running(site.settings):
        site.until_stored(10)


def test_a_frozen_store_times_out_and_is_taken_up_again(
    tmp_path: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    records = site.trades(ALL)
    with real_influx(tmp_path / "influx") as frozen:
        settings = influx_settings(site.broker, frozen)
        with running(settings):
            site.send(records[:400])
            until(lambda: count(settings, "trade", site.symbols) == 400, "the first trades")
            os.kill(frozen.pid, signal.SIGSTOP)
            try:
                site.send(records[400:])
                until(lambda: "paused, nothing is lost" in caplog.text, "the pause")
            finally:
                os.kill(frozen.pid, signal.SIGCONT)
            until(lambda: count(settings, "trade", site.symbols) == ALL * SYMBOLS, "all trades")
        assert exported(settings, site.symbols) == undisturbed(records)


def outlast_the_poll_interval(site: Site) -> tuple[set[str], set[str]]:
    """The group's members before and at the end of an outage of twice the poll interval."""
    records = site.trades(ALL)
    with running(site.settings):
        site.send(records[:400])
        until(lambda: site.stored() == 400, "the first trades")
        before = member_ids(site.broker, GROUP)
        site.proxy.fault = "503"
        site.send(records[400:])
        until(lambda: site.proxy.fired["503"] >= 1, "the outage")
        time.sleep(12)  # twice the poll interval
        after = member_ids(site.broker, GROUP)
        site.proxy.recover()
        site.until_stored(ALL)
    assert site.exported() == undisturbed(records)
    return before, after


@pytest.fixture
def _short_poll_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    # The broker's least session time-out, which the poll interval may not be below.
    monkeypatch.setattr("shared.kafka.SESSION_TIMEOUT_MS", 6_000)
    monkeypatch.setattr("shared.kafka.MAX_POLL_INTERVAL_MS", 6_000)


@pytest.mark.usefixtures("_short_poll_interval")
def test_an_outage_longer_than_the_poll_interval_keeps_the_membership(site: Site) -> None:
    before, after = outlast_the_poll_interval(site)
    assert len(before) == 1
    assert after == before


@pytest.mark.usefixtures("_short_poll_interval")
def test_without_polling_the_same_outage_costs_the_membership(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleeping(self: StreamConsumer, seconds: float) -> bool:
        while site.proxy.fault is not None:
            time.sleep(0.1)
        return True

    monkeypatch.setattr(StreamConsumer, "_wait", sleeping)
    before, after = outlast_the_poll_interval(site)
    assert not before & after


@pytest.fixture
def _patient_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is gathered for so long that it has records of all partitions, of those that stay as well."""
    monkeypatch.setattr("consumers.service.POLL_S", 2.0)


def rebalance_in_an_outage(site: Site, records: list[Sent], log: pytest.LogCaptureFixture) -> None:
    """A second consumer comes while the first has a batch in hand that the store does not take."""
    with running(site.settings):
        site.send(records[:SYMBOLS])
        site.until_stored(1)
    site.proxy.fault = "503"
    # There before the consumer is, these are one batch, of all partitions.
    site.send(records[SYMBOLS : BEFORE * SYMBOLS])
    with running(site.settings) as first:
        until(lambda: "paused, nothing is lost" in log.text, "the pause")
        site.send(records[BEFORE * SYMBOLS :])
        with running(site.settings) as second:
            until(lambda: len(first.positions()) == len(second.positions()) == 3, "three partitions each")
            # Assigned while the store is down, and read by nobody else: it waits as well.
            until(lambda: log.text.count("paused, nothing is lost") >= 2, "both to pause")
            site.proxy.recover()
            until(lambda: first.read_up() and second.read_up(), "all to be read")
        # What it takes over it reads again from the open minute on, whose sums are whole only at the end.
        until(lambda: len(first.positions()) == 6 and first.read_up(), "the first to have read all")


@pytest.mark.usefixtures("_patient_polls")
def test_a_rebalance_in_an_outage_loses_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    records = site.trades(ALL)
    rebalance_in_an_outage(site, records, caplog)
    assert "gave up" in caplog.text
    assert site.exported() == undisturbed(records)


@pytest.mark.usefixtures("_patient_polls")
def test_without_starting_over_the_same_rebalance_loses_trades(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Partitions, "start_over", lambda self, now_ms: None)
    rebalance_in_an_outage(site, site.trades(ALL), caplog)
    assert site.stored() < ALL * SYMBOLS
