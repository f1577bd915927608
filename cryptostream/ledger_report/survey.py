"""Makes a report: claims from the topic or the store, freshness and the recount from the store."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Message

from consumers.ledger_snapshot import Restart, newer
from consumers.ledger_start import ONE_EVENT, restarts
from consumers.measurements import FRESHNESS, KLINE, TRADE
from consumers.stores.factory import open_reader
from consumers.stores.port import Reader
from consumers.stores.storable import TICKS_EXPIRY_NS, oldest_kept_ms
from cryptostream.data_dir import has_ended
from cryptostream.ledger_report.carriage import carriage_in_store
from cryptostream.ledger_report.claims import Claims
from cryptostream.ledger_report.minutes import (
    is_live,
    minutes_of,
    newest_minute_ms,
    recount_minutes,
    unclaimed_ends,
)
from cryptostream.ledger_report.recount import NOTHING_CLAIMED, Found, compare, count_points
from cryptostream.ledger_report.report import (
    Freshness,
    Note,
    Recount,
    SeriesReport,
    Span,
    Unknown,
    unfollowed,
)
from cryptostream.output import ProgressLine
from shared.errors import BrokerError, InvalidMessage, SettingsError, StoreError
from shared.kafka_reader import TopicReader
from shared.ledger import LedgerSeries
from shared.messages import decode
from shared.models import LedgerStream
from shared.settings import Settings
from shared.topics import LEDGER, LEDGER_SNAPSHOT

# `stored` follows `expected` within two seconds, and the store within one (DESIGN §5.2).
CLAIM_DELAY_S: Final = 6.0
# Nothing is on its way to a topic without events for so long.
_QUIET_MS: Final = 60_000
_FRESH_NS: Final = 60 * 10**9
_HOPS: Final = ("socket", "kafka", "consumed", "stored")
_NS_PER_MS: Final = 10**6


@dataclass(slots=True)
class Survey:
    """Everything that `cryptostream ledger` shows.

    Attributes:
        source: of the claims, as text.
        store_error: why freshness is not shown.
        recounts: None if the store was not counted again.
        unknown: times that no report covers.
        uncarried: streams that are not carried now.
        carriage_reported: whether the store has any report of carriage, without which it may be older than
            these; None if the topic was asked.
        as_of_ms: the exchange's time of the report; None if the source does not tell it.
        looked_at: whether any series was followed in the time asked for.
    """

    source: str
    series: list[SeriesReport]
    notes: list[Note]
    note_counts: dict[tuple[LedgerSeries, str], int]
    freshness: list[Freshness]
    store_error: str | None = None
    recounts: list[Recount] | None = None
    unknown: list[Unknown] = field(default_factory=list)
    uncarried: list[Note] = field(default_factory=list)
    carriage_reported: bool | None = None
    as_of_ms: int | None = None
    looked_at: bool = True

    @property
    def several(self) -> bool:
        """Whether series of several exchanges are shown."""
        counted = (recount.series for recount in self.recounts or ())
        shown = (*(report.series for report in self.series), *counted)
        return len({series.exchange for series in shown}) > 1

    @property
    def complete(self) -> bool:
        """Something was looked at, nothing is lost or unknown, every stream is carried, and all of the store
        agrees if it was counted."""
        return (
            self.looked_at
            and not any(report.lost or report.unknown for report in self.series)
            and not self.unknown
            and not self.uncarried
            and all(recount.agrees and not recount.uncompared for recount in self.recounts or ())
        )


def survey(settings: Settings, span: Span, *, use_broker: bool, verify: bool) -> Survey:
    """Read the claims and the store.

    Raises:
        BrokerError, StoreError, SettingsError: one of them cannot be read.
    """
    topics = _ledger_topic(settings) if use_broker else None
    if topics is None:
        with closing(open_reader(settings)) as reader:
            return _from_store(settings, reader, span, verify=verify)
    with closing(topics):
        claims = Claims(span, expiry_ns(settings))
        read_claims(topics, claims)
        found = Survey(f"topic {LEDGER} at {topics.bootstrap_servers}", claims.reports(), [], {}, [])
        try:
            with closing(open_reader(settings)) as reader:
                found.freshness = newest_freshness(reader, span)
                if verify:
                    found.recounts = _recounts(settings, reader, span, topics, claims)
        except (StoreError, SettingsError) as error:
            if verify:
                raise
            found.store_error = str(error)
        found.notes, found.note_counts = claims.notes(), claims.note_counts()
        found.unknown, found.uncarried = claims.unknown(), claims.uncarried_now()
        found.as_of_ms, found.looked_at = claims.as_of_ms, claims.looked_at
        return found


def expiry_ns(settings: Settings) -> int | None:
    """Retention of the bucket `ticks` in the exchange's time; None for ever."""
    return None if settings.influx_bucket_market == settings.influx_bucket_ticks else TICKS_EXPIRY_NS


def read_claims(topics: TopicReader, claims: Claims) -> None:
    """Read the snapshots, the later events, and for some seconds those that are still on their way."""
    bounds = {number: ends for (_, number), ends in topics.bounds(LEDGER).items()}
    starts = _restarts(topics, bounds)
    for number, start in starts.items():
        claims.take(number, start)
    newest_ms = max((start.snapshot.heard_ms or 0 for start in starts.values()), default=0)
    unread = sum(bounds[number][1] - start.offset for number, start in starts.items())
    with ProgressLine(f"reading {LEDGER}", "events", unread) as line:
        for message in topics.to_end({(LEDGER, number): start.offset for number, start in starts.items()}):
            newest_ms = max(newest_ms, message.timestamp()[1])
            _receive(claims, (message,))
            line.advance()
    claims.end()
    deadline = time.monotonic() + CLAIM_DELAY_S
    while (
        claims.undecided
        and time.time_ns() // _NS_PER_MS - newest_ms < _QUIET_MS
        and time.monotonic() < deadline
    ):
        _receive(claims, topics.more())


def _restarts(topics: TopicReader, bounds: Mapping[int, tuple[int, int]]) -> dict[int, Restart]:
    """Where to begin in each partition: after its snapshots, else at the first event."""
    records: dict[int, dict[bytes, bytes]] = {}
    if topics.has(LEDGER_SNAPSHOT):
        for message in topics.whole(LEDGER_SNAPSHOT):
            key, value = message.key(), message.value()
            of = records.setdefault(message.partition() or 0, {})
            if key is not None and value is not None and (key not in of or newer(value, of[key])):
                of[key] = value
    with closing(topics.another(ONE_EVENT)) as reader:
        return restarts(reader, records, bounds)


def newest_freshness(reader: Reader, span: Span) -> list[Freshness]:
    """Each hop's newest latencies, without those of services that ended long ago."""
    asked = {"exchange": span.exchange, "stream": span.stream}
    tags = {name: value for name, value in asked.items() if value is not None}
    rows = list(reader.read(FRESHNESS.name, tags, last=1))
    newest_ns = max((int(row["time_ns"] or 0) for row in rows), default=0)
    slowest: dict[tuple[str, str, str], Freshness] = {}
    for row in rows:
        if int(row["time_ns"] or 0) < newest_ns - _FRESH_NS:
            continue
        quantiles = (float(row.get(name) or 0.0) for name in ("p50", "p95", "p99"))
        hop = Freshness(str(row["exchange"]), str(row["stream"]), str(row["hop"]), *quantiles)
        # The slowest instance is shown, since quantiles cannot be added.
        before = slowest.get((hop.exchange, hop.stream, hop.hop), hop)
        slowest[hop.exchange, hop.stream, hop.hop] = max(before, hop, key=lambda of: of.p95)
    order = {hop: position for position, hop in enumerate(_HOPS)}
    return sorted(
        slowest.values(), key=lambda hop: (hop.exchange, hop.stream, order.get(hop.hop, len(order)))
    )


def _ledger_topic(settings: Settings) -> TopicReader | None:
    """The broker with the ledger, None if there is none; warns if a configured broker has none."""
    if not settings.kafka_bootstrap_servers:
        return None
    try:
        topics = TopicReader(settings.kafka_bootstrap_servers)
    except BrokerError as error:
        sys.stderr.write(f"warning: {error}; counting by the store's minute rows instead\n")
        return None
    if topics.has(LEDGER):
        return topics
    topics.close()
    sys.stderr.write(
        f"warning: {settings.kafka_bootstrap_servers} has no topic {LEDGER}; "
        "counting by the store's minute rows instead\n"
    )
    return None


def _from_store(settings: Settings, reader: Reader, span: Span, *, verify: bool) -> Survey:
    newest_ms = newest_minute_ms(reader)
    # Our clock may be behind, and must not show lost ids as on their way.
    now_ms = max(time.time_ns() // _NS_PER_MS, newest_ms or 0)
    path = settings.sqlite_path
    ended = settings.store == "sqlite" and path is not None and has_ended(path.parent)
    live = not ended and is_live(reader, time.time_ns() // _NS_PER_MS)
    minutes = minutes_of(reader, span, now_ms, live=live)
    found = Survey("minute rows of the store", minutes.reports, [], {}, newest_freshness(reader, span))
    found.looked_at = minutes.looked_at
    if not minutes.looked_at:
        found.unknown = unfollowed(minutes.ended)
    stored = _to_count(reader, span, [report.series for report in minutes.reports])
    if not live:
        found.unknown += unclaimed_ends(reader, stored, span)
    # InfluxDB expires by its own clock, SQLite by the exchange's time.
    expired_at_ms = newest_ms if settings.store == "sqlite" else now_ms
    kept_from_ms = oldest_kept_ms(expired_at_ms, expiry_ns(settings))
    carriage = carriage_in_store(reader, span, as_of_ms=newest_ms, kept_from_ms=kept_from_ms)
    found.unknown += carriage.unknown
    found.uncarried, found.carriage_reported = carriage.uncarried, carriage.reported
    if verify:
        with ProgressLine("counting the store", "points") as line:
            found.recounts = [
                recount_minutes(
                    reader,
                    series,
                    span,
                    oldest_kept_ms=oldest_kept_ms(newest_ms, expiry_ns(settings)),
                    leading_bare=_leading_bare(settings),
                    live=live,
                    advance=line.advance,
                )
                for series in stored
            ]
    return found


def _recounts(
    settings: Settings, reader: Reader, span: Span, topics: TopicReader, claims: Claims
) -> list[Recount]:
    # 1. What is claimed now must be found.
    claimed = {
        series: claims.claimed(series) if series in claims.series else NOTHING_CLAIMED
        for series in _to_count(reader, span, claims.begun)
    }
    # 2. Count the store.
    with ProgressLine("counting the store", "points") as line:
        found = {series: count_points(reader, series, span, line.advance) for series in claimed}
    # 3. What was found must have been claimed, by now or very soon.
    _await_claims(topics, claims, found)
    return [
        compare(
            series,
            claimed[series],
            found[series],
            claims.ever_stored(series),
            leading_bare=_leading_bare(settings),
        )
        for series in claimed
    ]


def _to_count(reader: Reader, span: Span, claimed: Iterable[LedgerSeries]) -> list[LedgerSeries]:
    """Series with claims, and series that are in the store only."""
    wanted = set(claimed)
    measured: tuple[tuple[str, LedgerStream], ...] = ((TRADE.name, "trades"), (KLINE.name, "klines"))
    for measurement, stream in measured:
        asked = {"exchange": span.exchange, "symbol": span.symbol}
        tags = {name: value for name, value in asked.items() if value is not None}
        for row in reader.read(measurement, tags, from_ns=span.from_ns, to_ns=span.to_ns, last=1):
            series = LedgerSeries(
                str(row["exchange"]), str(row["symbol"]), stream, str(row.get("interval") or "")
            )
            if span.holds(series):
                wanted.add(series)
    return sorted(wanted, key=SeriesReport.order)


def _await_claims(topics: TopicReader, claims: Claims, found: dict[LedgerSeries, Found]) -> None:
    deadline = time.monotonic() + CLAIM_DELAY_S
    while time.monotonic() < deadline:
        come = topics.more()
        _receive(claims, come)
        if not come and not any(
            points.ids.difference(claims.ever_stored(series)).difference(claims.only_counted(series))
            for series, points in found.items()
        ):
            return


def _receive(claims: Claims, messages: Iterable[Message]) -> None:
    for message in messages:
        try:
            claims.receive(decode("ledger", message.value()), message.partition() or 0, message.offset())
        except InvalidMessage:
            continue  # the ledger's consumer has made it a dead letter, which is counted


def _leading_bare(settings: Settings) -> bool:
    """Whether the first bars may lack indicators: with all indicators, some have a value at once."""
    return "all" not in settings.indicators
