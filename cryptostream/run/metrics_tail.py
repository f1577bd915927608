"""The run's view of the ledger and of the services' metrics, read from their topics."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

from consumers.completeness import CompletenessLedger
from cryptostream.run.proof.checks import Result, Series, Uncarried, check_read
from cryptostream.run.proof.recounting import Claim
from cryptostream.run.topic_tail import TopicTail
from cryptostream.run.view import LedgerRow, ServiceView
from shared import messages
from shared.errors import InvalidMessage
from shared.id_ranges import IdRanges
from shared.intervals import INTERVAL_MS
from shared.ledger import LedgerSeries
from shared.messages import LedgerMessage
from shared.topics import LEDGER, METRICS

_ACCOUNTED: Final = ("expected", "stored", "halted", "offline")


class LatestMetrics:
    """The newest message of each service on `pipeline.metrics`."""

    def __init__(self) -> None:
        self._reports: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}
        self._compared_bars: dict[int, int] = {}  # of each process of producers, by its id

    def receive(self, metrics: dict[str, Any], received_s: float) -> None:
        """Take a message; `received_s` is of a monotonic clock."""
        self._reports[metrics["service"], metrics["instance"]] = received_s, metrics
        match metrics:
            case {
                "service": "producer",
                "pid": int(pid),
                "gauges": {"compared_bars": int() | float() as count},
            }:
                self._compared_bars[pid] = int(count)

    def __iter__(self) -> Iterator[tuple[float, dict[str, Any]]]:
        """Receive time and message of each service."""
        return iter(self._reports.values())

    def of(self, service: str, instance: str | None = None) -> tuple[float, dict[str, Any]] | None:
        """The newest message of a service, and when it was received: of this instance, or of any."""
        return next(
            (
                report
                for (name, number), report in self._reports.items()
                if name == service and instance in (None, number)
            ),
            None,
        )

    def compared_bars(self, pids: Iterable[int]) -> int:
        """Bars that these producers have compared with their trades, ended processes included."""
        return sum(self._compared_bars.get(pid, 0) for pid in pids)

    def ages_s(self, now_s: float, pid: int | None) -> dict[str, float]:
        """Seconds since each service of this process reported.

        Reports of an earlier process do not count: a producer's first report shows that its series have their
        start positions.
        """
        ages: dict[str, float] = {}
        for (service, _), (received_s, metrics) in self._reports.items():
            if pid is not None and metrics.get("pid") == pid:
                ages[service] = min(now_s - received_s, ages.get(service, float("inf")))
        return ages


class MetricsTail:
    """Reads `pipeline.ledger` and `pipeline.metrics` from their ends at the start of the run.

    Args:
        memory: the memory broker is new: read from the beginning (its watermarks are not reliable,
            STACK.md §4.3).
        several: the run has several exchanges, so that names say which one is meant.
    """

    def __init__(self, address: str, *, memory: bool, several: bool = False) -> None:
        self._several = several
        self._ledger = CompletenessLedger()
        self._metrics = LatestMetrics()
        self._times: dict[LedgerSeries, tuple[int, int]] = {}
        self._entered: set[LedgerSeries] = set()
        self._uncarried: dict[tuple[str, Series], Uncarried] = {}
        self._refused = 0  # events of the ledger that were not counted
        self._why_refused = ""  # the first of them
        topics = LEDGER, METRICS
        self._tail = TopicTail(address, topics, "cryptostream.run", from_beginning=memory, memory=memory)

    def poll(self, timeout_s: float) -> None:
        """Take new records; waits `timeout_s` for the first."""
        for topic, value in self._tail.poll(timeout_s):
            if topic == METRICS:
                self._take_metrics(value)
            else:
                self._take_ledger(value)

    def close(self) -> None:
        self._tail.close()

    def ask_ends(self) -> None:
        """See `TopicTail.ask_ends`: until all is read, what the ledger lacks may be on its way."""
        self._tail.ask_ends()

    @property
    def at_end(self) -> bool:
        """Whether everything was read up to the ends that were asked for last."""
        return not self._tail.unread

    def check_read(self) -> list[Result]:
        """Whether all was read and counted that the verdict rests on."""
        refused = {LEDGER: (self._refused, self._why_refused)} if self._refused else {}
        return check_read((LEDGER, METRICS), self._tail.unread, refused)

    def services(self, restarts: Mapping[str, int]) -> tuple[ServiceView, ...]:
        """The latest metrics of each service.

        Args:
            restarts: of this run's processes, by name.
        """
        now_s = time.monotonic()
        return tuple(
            _service_view(metrics, now_s - received_s, _restarts_of(metrics, restarts))
            for received_s, metrics in self._metrics
        )

    def metrics(self, service: str, instance: str | None = None) -> tuple[float, dict[str, Any]] | None:
        """The latest metrics of a service, and when they arrived (monotonic seconds)."""
        return self._metrics.of(service, instance)

    def compared_bars(self, pids: Iterable[int]) -> int:
        """See `LatestMetrics.compared_bars`."""
        return self._metrics.compared_bars(pids)

    @property
    def ledger(self) -> tuple[LedgerRow, ...]:
        """Completeness of every counted series since the start of the run, trades first."""
        order = ["", *INTERVAL_MS]
        rows = [
            # A restarted consumer stores ids of an earlier run again, which this run did not expect.
            LedgerRow(
                f"{series.exchange}:{series.symbol}" if self._several else series.symbol,
                series.stream,
                series.interval,
                *totals._replace(stored=min(totals.stored, totals.expected - totals.lost)),
                exchange=series.exchange,
                different=_open_times(series, self._ledger.account(series).wrong()),
            )
            for series, totals in self._ledger.totals().items()
        ]
        return tuple(sorted(rows, key=lambda row: (order.index(row.interval), row.symbol)))

    def uncarried(self, exchange: str) -> tuple[Uncarried, ...]:
        """The latest span of each stream that was not carried at some time of the run."""
        return tuple(span for (name, _), span in self._uncarried.items() if name == exchange)

    def entered(self, exchange: str) -> dict[Series, int]:
        """The newest id (open time for bars) of each series that has an event of this run."""
        return {
            Series(*series[1:]): max(ids.last or 0 for ids in sets) * series.unit
            for series, sets in self._entered_sets(exchange)
        }

    def first_trades(self, exchange: str) -> dict[Series, int]:
        """The lowest number of each series of trades that has an event of this run."""
        return {
            Series(*series[1:]): min(next(iter(ids))[0] for ids in sets)
            for series, sets in self._entered_sets(exchange)
            if series.stream == "trades"
        }

    def _entered_sets(self, exchange: str) -> Iterator[tuple[LedgerSeries, list[IdRanges]]]:
        """Each series with an event of this run, and its non-empty sets of ids."""
        for series in self._of(exchange):
            sets = self._ledger.ranges(series)
            if accounted := [sets[kind] for kind in _ACCOUNTED if sets[kind]]:
                yield series, accounted

    def _of(self, exchange: str) -> list[LedgerSeries]:
        return [series for series in self._entered if series.exchange == exchange]

    def claims(self, exchange: str) -> dict[LedgerSeries, Claim]:
        """What the store must have, by the ledger."""
        return {series: self._claim(series) for series in self._of(exchange)}

    def _claim(self, series: LedgerSeries) -> Claim:
        from_ms, to_ms = self._times.get(series, (None, None))
        counted = self._ledger.account(series).rolled_up.counts["stored"]
        return Claim(self._ledger.ranges(series)["stored"], from_ms, to_ms, counted)

    def newest_ms(self, exchange: str) -> int | None:
        """Time of the newest trade, or end of the newest stored bar, that was entered in this run."""
        times = []
        for series in self._of(exchange):
            if series.stream == "trades":
                times += [last_ms for _, last_ms in (self._times.get(series, (None, None)),) if last_ms]
            elif (last := self._ledger.ranges(series)["stored"].last) is not None:
                times.append((last + 1) * series.unit)
        return max(times, default=None)

    def ages_s(self, pid: int | None) -> dict[str, float]:
        """Seconds since each service of this process reported."""
        return self._metrics.ages_s(time.monotonic(), pid)

    def _take_metrics(self, value: bytes) -> None:
        try:
            metrics = orjson.loads(value)
            _service_view(metrics, 0.0, 0)
            self._metrics.receive(metrics, time.monotonic())
        except (ValueError, KeyError, TypeError):
            return  # not our service: the broker may be shared

    def _take_ledger(self, value: bytes) -> None:
        try:
            message = messages.decode("ledger", value)
        except InvalidMessage as error:
            self._refuse(str(error))
            return
        reason = self._ledger.receive(message)
        if reason is not None:
            self._refuse(reason)
            return
        if message["kind"] == "uncarried":
            series = Series(message["symbol"], message["stream"], message["interval"] or "")
            span = Uncarried(
                series, message["first"], message["last"], message["detail"] or "no reason given"
            )
            key = message["exchange"], series
            if key not in self._uncarried or span.until_ms >= self._uncarried[key].until_ms:
                self._uncarried[key] = span
        elif message["stream"] in ("klines", "trades"):
            self._date(message)

    def _refuse(self, reason: str) -> None:
        """Note an event that is not counted; the ledger's consumer makes it a dead letter."""
        self._refused += 1
        self._why_refused = self._why_refused or reason

    def _date(self, message: LedgerMessage) -> None:
        series = LedgerSeries.of(message)
        self._entered.add(series)
        first_ms, last_ms = message["first"], message["last"]
        if series.stream == "trades":
            time_ms = message["event_time_ms"]
            if time_ms is None:
                return
            first_ms = last_ms = time_ms
        before = self._times.get(series, (first_ms, last_ms))
        self._times[series] = min(before[0], first_ms), max(before[1], last_ms)


def _open_times(series: LedgerSeries, bars: IdRanges) -> tuple[tuple[int, int], ...]:
    return tuple((first * series.unit, last * series.unit) for first, last in bars)


def _restarts_of(metrics: dict[str, Any], restarts: Mapping[str, int]) -> int:
    """Restarts of a service's process, which may be one of several, by exchange."""
    child = f"{metrics['service'].split('-')[0]}s"
    return restarts.get(f"{child}-{metrics['instance']}", restarts.get(child, 0))


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
