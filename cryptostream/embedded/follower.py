"""What the services say, as the run hears it: completeness events and metrics, read without a group."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from consumers.completeness import CompletenessLedger
from consumers.ledger_events import LedgerSeries
from cryptostream.embedded.evidence import Series, Uncarried
from cryptostream.embedded.recounting import Claim
from cryptostream.embedded.snapshot import LedgerRow, ServiceView
from cryptostream.embedded.words import Words
from shared import messages
from shared.errors import BrokerUnavailable, InvalidMessage
from shared.intervals import INTERVAL_MS
from shared.kafka import LIBRDKAFKA_LOG, cause, consumer_config, refused
from shared.messages import LedgerMessage
from shared.topics import LEDGER, METRICS

_TIMEOUT_S: Final = 10.0
_BATCH: Final = 2_000
_RETRY_S: Final = 0.1
_ACCOUNTED: Final = ("expected", "stored", "halted", "offline")


class Follower:
    """Reads `pipeline.ledger` and `pipeline.metrics` from where they end at the start of the run.

    Args:
        memory: the broker is this run's own and new: read from the beginning (its watermarks are not to be
            trusted, STACK.md §4.3).
    """

    def __init__(self, address: str, *, memory: bool) -> None:
        self._ledger = CompletenessLedger()
        self._words = Words()
        self._times: dict[LedgerSeries, tuple[int, int]] = {}
        self._entered: set[LedgerSeries] = set()
        self._uncarried: dict[Series, Uncarried] = {}
        config = consumer_config(address, "cryptostream.run", "cryptostream-run", memory_broker=memory)
        # A broker that goes away is reported by the services; the client's own words would spoil the screen.
        self._consumer = Consumer({**config, "log_level": 0}, logger=LIBRDKAFKA_LOG)
        starts = []
        try:
            for topic in (LEDGER, METRICS):
                known = self._consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic].partitions
                for partition in known:
                    start = OFFSET_BEGINNING if memory else self._end(TopicPartition(topic, partition))
                    starts.append(TopicPartition(topic, partition, start))
            self._consumer.assign(starts)
        except KafkaException as error:
            raise refused(error) from None

    def poll(self, timeout_s: float) -> None:
        """Take what has come; waits `timeout_s` for it."""
        try:
            records = self._consumer.consume(_BATCH, timeout_s)
        except KafkaException as error:
            raise refused(error) from None
        for record in records:
            value = record.value()
            if record.error() is not None or value is None:
                continue  # the services meet the same broker, and report it
            if record.topic() == METRICS:
                self._take_metrics(value)
            else:
                self._take_ledger(value)

    def close(self) -> None:
        self._consumer.close()

    def services(self, restarts: Mapping[str, int]) -> tuple[ServiceView, ...]:
        """What each service said last.

        Args:
            restarts: of the processes of this run, by their names.
        """
        now_s = time.monotonic()
        return tuple(
            _service_view(metrics, now_s - heard_s, restarts.get(f"{metrics['service'].split('-')[0]}s", 0))
            for heard_s, metrics in self._words
        )

    def metrics(self, service: str) -> tuple[float, dict[str, Any]] | None:
        """When a service was heard last (monotonic seconds), and its message."""
        return self._words.of(service)

    @property
    def ledger(self) -> tuple[LedgerRow, ...]:
        """Completeness of every counted series since the start of the run, trades first."""
        order = ["", *INTERVAL_MS]
        rows = [
            # What a restarted consumer stores once more of an earlier run was not expected in this one.
            LedgerRow(
                series.symbol,
                series.stream,
                series.interval,
                *totals._replace(stored=min(totals.stored, totals.expected - totals.lost)),
            )
            for series, totals in self._ledger.totals().items()
        ]
        return tuple(sorted(rows, key=lambda row: (order.index(row.interval), row.symbol)))

    @property
    def uncarried(self) -> tuple[Uncarried, ...]:
        """The newest word on each stream that was not carried at some time of the run."""
        return tuple(self._uncarried.values())

    def entered(self) -> dict[Series, int]:
        """The newest id (open time for bars) of each series of which there was a word in this run."""
        newest: dict[Series, int] = {}
        for series in self._entered:
            sets = self._ledger.ranges(series)
            ends = [list(ids)[-1][1] for kind in _ACCOUNTED if (ids := sets[kind])]
            if ends:
                newest[Series(*series[1:])] = max(ends) * series.unit
        return newest

    def first_trades(self) -> dict[Series, int]:
        """The lowest number of each series of trades of which there was a word in this run."""
        lowest: dict[Series, int] = {}
        for series in self._entered:
            if series.stream == "trades":
                sets = self._ledger.ranges(series)
                begins = [next(iter(ids))[0] for kind in _ACCOUNTED if (ids := sets[kind])]
                if begins:
                    lowest[Series(*series[1:])] = min(begins)
        return lowest

    def claims(self) -> dict[LedgerSeries, Claim]:
        """What the store is said to have."""
        return {
            series: Claim(self._ledger.ranges(series)["stored"], *self._times.get(series, (None, None)))
            for series in self._entered
        }

    @property
    def newest_ms(self) -> int | None:
        """Time of the newest trade, or end of the newest stored bar, that was entered in this run."""
        times = []
        for series in self._entered:
            if series.stream == "trades":
                times += [last_ms for _, last_ms in (self._times.get(series, (None, None)),) if last_ms]
            elif (last := self._ledger.ranges(series)["stored"].last) is not None:
                times.append((last + 1) * series.unit)
        return max(times, default=None)

    def ages_s(self, pid: int | None) -> dict[str, float]:
        """Seconds since each service of this process has spoken."""
        return self._words.ages_s(time.monotonic(), pid)

    def _end(self, place: TopicPartition) -> int:
        """Raises:
        BrokerUnavailable: the partition has no leader for 10 s; a new topic's takes a moment.
        """
        give_up_s = time.monotonic() + _TIMEOUT_S
        while True:
            try:
                _, high = self._consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)
                return int(high)
            except KafkaException as error:
                if time.monotonic() > give_up_s:
                    raise BrokerUnavailable(
                        f"{place.topic}: the broker does not say where it ends ({cause(error).str()}); "
                        "see its log, or take --broker memory"
                    ) from None
                time.sleep(_RETRY_S)

    def _take_metrics(self, value: bytes) -> None:
        try:
            metrics = orjson.loads(value)
            _service_view(metrics, 0.0, 0)
            self._words.receive(metrics, time.monotonic())
        except (ValueError, KeyError, TypeError):
            return  # not a service of ours: a broker may be shared

    def _take_ledger(self, value: bytes) -> None:
        try:
            message = messages.decode("ledger", value)
        except InvalidMessage:
            return  # the ledger consumer sends it to the dead letters, where it is counted
        if self._ledger.receive(message) is not None:
            return
        if message["kind"] == "uncarried":
            series = Series(message["symbol"], message["stream"], message["interval"] or "")
            span = Uncarried(
                series, message["first"], message["last"], message["detail"] or "no reason given"
            )
            if series not in self._uncarried or span.until_ms >= self._uncarried[series].until_ms:
                self._uncarried[series] = span
        elif message["stream"] in ("klines", "trades"):
            self._date(message)

    def _date(self, message: LedgerMessage) -> None:
        series = LedgerSeries(
            message["exchange"], message["symbol"], message["stream"], message["interval"] or ""
        )
        self._entered.add(series)
        first_ms, last_ms = message["first"], message["last"]
        if series.stream == "trades":
            time_ms = message["event_time_ms"]
            if time_ms is None:
                return
            first_ms = last_ms = time_ms
        before = self._times.get(series, (first_ms, last_ms))
        self._times[series] = min(before[0], first_ms), max(before[1], last_ms)


def _service_view(metrics: dict[str, Any], age_s: float, restarts: int) -> ServiceView:
    medians = [entry["p50"] for entry in metrics["freshness"]]
    return ServiceView(
        name=metrics["service"],
        messages_per_s=metrics["messages_per_s"],
        lag_messages=metrics["lag_messages"],
        lag_seconds=metrics["lag_seconds"],
        dead_letters=metrics["dead_letters"],
        restarts=restarts,
        age_s=age_s,
        freshness_ms=max(medians) if medians else None,
    )
