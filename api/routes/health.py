"""`GET /ledger`, `/freshness`, `/services`: what is complete, how old, and what runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from fastapi import APIRouter, Request

from api.encode import RowShape
from api.history import History
from api.models import Latest, Ledger, LedgerSeries, NotCarried
from api.problems import wrong
from api.rows_request import RowsRequest, read_tag, read_time, single_values
from api.schema import TIME, parameter, problems, tag_parameters
from api.topics import now_ms
from consumers.measurements import CARRIAGE, FRESHNESS, LEDGER, SERVICE
from consumers.stores.port import Row
from consumers.tap.series import LiveKind
from shared.intervals import INTERVAL_MS
from shared.ledger import LedgerSeries as Series
from shared.markets import Market, names_of
from shared.settings import Settings
from shared.times import iso

_NS_PER_MS: Final = 10**6
_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
# A longer span has more rows than a person waits for.
_LONGEST_MS: Final = 31 * _DAY_MS
# What the exchange has sent is stored within seconds; a service that restarts takes some more.
_SETTLED_MS: Final = 120_000
_LOST_SHOWN: Final = 100
_Instrument = tuple[str, str]  # exchange, symbol
_COUNTS: Final = ("expected", "stored", "backfilled", "halted", "duplicates")


def health_router(kinds: dict[str, LiveKind], history: History, settings: Settings) -> APIRouter:
    """The routes of what is complete, fresh and running."""
    configured = [
        (market.exchange, market.symbol, *stream)
        for market in settings.markets
        for stream in (*(("klines", interval) for interval in settings.intervals), ("trades", ""))
    ]
    router = APIRouter(tags=["health"])
    ledger_kind = kinds[LEDGER.name]

    @router.get(
        "/ledger",
        operation_id="ledger",
        summary="Counts of what was expected, stored and lost",
        responses=problems("401", "403", "414", "422", "503"),
        openapi_extra={
            "parameters": [
                *tag_parameters(ledger_kind),
                parameter("from", TIME, "first time (a day ago)"),
                parameter("to", TIME, "end, itself not included (now)"),
            ]
        },
    )
    async def ledger(request: Request) -> Ledger:
        given = single_values(request.query_params.multi_items(), (*ledger_kind.tags, "from", "to"))
        tags = {tag: read_tag(tag, given[tag]) for tag in ledger_kind.tags if tag in given}
        from_ms, to_ms = _span(given, now_ms())
        counted: dict[tuple[str, ...], _Counted] = {}
        told: list[Row] = []
        now = now_ms()
        async with history.reading(tags) as reading:
            # Our clock may be behind the exchange's, and must not show lost ids as on their way.
            async for chunk in reading.rows(LEDGER.name, {}, last=1):
                now = max(now, *(int(row["time_ns"] or 0) // _NS_PER_MS for row in chunk))
            async for chunk in reading.rows(
                LEDGER.name, tags, from_ns=from_ms * _NS_PER_MS, to_ns=to_ms * _NS_PER_MS
            ):
                await reading.work(lambda chunk=chunk: _count(counted, chunk, now))  # type: ignore[misc]
            instruments = {name: tags[name] for name in tags if name in CARRIAGE.tags and name != "stream"}
            async for chunk in reading.rows(CARRIAGE.name, instruments, last=1):
                told += chunk
        # A minute without a trade has no row: bars of the instrument show that its trades were followed.
        with_bars = {each.instrument for each in counted.values() if each.bars}
        missing = [
            each
            for each in configured
            if each not in counted
            and (each[-1] or each[:2] not in with_bars)
            and all(tags.get(name, value) == value for name, value in zip(LEDGER.tags, each, strict=True))
        ]
        series = [each.series() for _, each in sorted(counted.items())]
        asked_trades = not tags.get("interval") and tags.get("stream") in {None, "trades"}
        followed = _followed(counted.values()) if asked_trades else {}
        names = names_of([*settings.markets, *(Market(each.exchange, each.symbol) for each in series)])
        return summary(
            from_ms,
            to_ms,
            series,
            followed=followed,
            missing=missing,
            not_carried=_not_carried(told, tags),
            names=names,
            now=now,
        )

    for kind, path, what in (
        (kinds[FRESHNESS.name], "freshness", "Ages of data at each hop"),
        (kinds[SERVICE.name], "services", "The newest report of each service"),
    ):
        router.add_api_route(
            f"/{path}",
            _latest_of(kind, history),
            response_model=Latest,
            operation_id=path,
            summary=what,
            responses=problems("401", "403", "414", "422", "503"),
            openapi_extra={"parameters": tag_parameters(kind)},
        )
    return router


def _latest_of(kind: LiveKind, history: History) -> Any:
    async def latest(request: Request) -> Latest:
        given = single_values(request.query_params.multi_items(), kind.tags)
        tags = {tag: read_tag(tag, value) for tag, value in given.items()}
        asked_ms = now_ms()
        names = tuple(column.name for column in kind.columns)
        shape = RowsRequest(kind, tags, None, None, 1, names)
        rows: list[list[Any]] = []
        async with history.reading(tags) as reading:
            # A service that ended before is none of this deployment any more.
            begin_ns = (asked_ms - _DAY_MS) * _NS_PER_MS
            async for chunk in reading.rows(kind.name, tags, from_ns=begin_ns, last=1):
                rows += RowShape(shape).values(chunk)
        return Latest(
            columns=list(shape.columns),
            types=list(shape.types),
            rows=rows,
            server_time_ms=asked_ms,
            reason=None if rows else f"the store has no {kind.name} of the last day",
        )

    return latest


class _Counted:
    """Counts of one series."""

    def __init__(self, tags: tuple[str, ...]) -> None:
        self._tags = tags
        self.instrument = tags[LEDGER.tags.index("exchange")], tags[LEDGER.tags.index("symbol")]
        interval = tags[LEDGER.tags.index("interval")]
        self.bars = interval != ""
        self._period_ms = _period_ms(interval)
        self._counts = dict.fromkeys((*_COUNTS, "lost", "in_flight"), 0)
        self._counted_from_ms: int | None = None
        self._counted_to_ms = 0
        # When the first bar came that is not of REST; None before.
        self.followed_from_ms: int | None = None
        self._lost_ms: list[int] = []

    def add(self, row: Row, settled_ms: int) -> None:
        begin_ms = int(row["time_ns"] or 0) // _NS_PER_MS
        end_ms = begin_ms + self._period_ms
        # Every period of bars has a row; a minute without a trade has none.
        is_broken = self.bars and begin_ms > self._counted_to_ms
        if self._counted_from_ms is None or is_broken:
            self._counted_from_ms = begin_ms
            self.followed_from_ms = None
        if self.followed_from_ms is None and int(row.get("stored") or 0) > int(row.get("backfilled") or 0):
            # A long bar comes at its end, and says nothing of who followed its begin.
            self.followed_from_ms = end_ms - _MINUTE_MS
        self._counted_to_ms = max(self._counted_to_ms, end_ms)
        for name in _COUNTS:
            self._counts[name] += int(row.get(name) or 0)
        lost = int(row.get("lost") or 0)
        if lost and end_ms <= settled_ms:
            self._counts["lost"] += lost
            self._lost_ms = [*self._lost_ms, begin_ms][-_LOST_SHOWN:]
        elif lost:
            self._counts["in_flight"] += lost

    def series(self) -> LedgerSeries:
        return LedgerSeries(
            **dict(zip(LEDGER.tags, self._tags, strict=True)),
            **self._counts,
            counted_from_ms=self._counted_from_ms or 0,
            counted_to_ms=self._counted_to_ms,
            lost_periods_ms=self._lost_ms,
        )


def _count(counted: dict[tuple[str, ...], _Counted], rows: Iterable[Row], now: int) -> None:
    for row in rows:
        tags = tuple(str(row[tag]) for tag in LEDGER.tags)
        series = counted.get(tags)
        if series is None:
            series = counted[tags] = _Counted(tags)
        series.add(row, now - _SETTLED_MS)


def _not_carried(told: Iterable[Row], tags: Mapping[str, str]) -> list[NotCarried]:
    """Streams with these tags whose newest row says that they are not carried."""
    found = []
    for row in told:
        series = Series.of_stream(*(str(row[tag]) for tag in CARRIAGE.tags))
        named = series._asdict()
        if not row.get("carried") and tags.items() <= named.items():
            since_ms, until_ms = int(row.get("since_ms") or 0), int(row["time_ns"] or 0) // _NS_PER_MS
            found.append(NotCarried(**named, since_ms=since_ms, until_ms=until_ms))
    return sorted(found, key=lambda each: (each.exchange, each.symbol, each.stream, each.interval))


def _followed(counted: Iterable[_Counted]) -> dict[_Instrument, int | None]:
    """By instrument of which there are bars: since when they came from its stream.

    Minutes without a trade have no row, but the exchange closes a bar of them all the same: who had it from
    the stream followed the trades too. A bar of REST (warm-up) says nothing of them.
    """
    followed: dict[_Instrument, int | None] = {}
    for each in counted:
        if each.bars:
            since = (followed.get(each.instrument), each.followed_from_ms)
            followed[each.instrument] = min(filter(None, since), default=None)
    return followed


def summary(
    from_ms: int,
    to_ms: int,
    series: list[LedgerSeries],
    *,
    followed: Mapping[_Instrument, int | None],
    missing: Sequence[tuple[str, ...]],
    not_carried: list[NotCarried],
    names: Mapping[Market, str],
    now: int,
) -> Ledger:
    """The answer; `lost` is a number only if every series was counted from the begin of the span to its end.

    Args:
        followed: since when bars came from the stream, ms, of each instrument whose trades are asked for too.
        missing: tags of series that should be counted, and of which the span has no row.
        names: what reasons call the markets.
    """
    if not series:
        reason = "the store has no ledger of this span, so that nothing is known to be complete"
        return Ledger(
            from_ms=from_ms,
            to_ms=to_ms,
            counted_from_ms=None,
            lost=None,
            lost_counted=None,
            reason=reason,
            series=[],
            not_carried=not_carried,
        )
    late = _why_not_to_the_end(from_ms, min(to_ms, now - _SETTLED_MS), series, missing, names)
    known_from = [(_name(each, names), _known_from_ms(each, followed, from_ms)) for each in series]
    # Trades of which none has come yet have no row.
    traded = {(each.exchange, each.symbol) for each in series if not each.interval}
    known_from += [
        (f"{names[Market(*instrument)]} trades", since_ms if since_ms - from_ms >= _MINUTE_MS else from_ms)
        for instrument, since_ms in followed.items()
        if since_ms is not None and instrument not in traded
    ]
    latest, counted_from_ms = max(known_from, key=itemgetter(1))
    early = None
    if counted_from_ms > from_ms:
        early = f"{latest} is counted from {iso(counted_from_ms)} on only; what was before is not known"
    lost = sum(each.lost for each in series)
    return Ledger(
        from_ms=from_ms,
        to_ms=to_ms,
        counted_from_ms=counted_from_ms,
        # What is known to be lost is said even if there may be more.
        lost=lost if late is None and early is None else lost or None,
        lost_counted=lost if late is None else lost or None,
        reason=late or early,
        series=series,
        not_carried=not_carried,
    )


def _why_not_to_the_end(
    from_ms: int,
    known_to_ms: int,
    series: list[LedgerSeries],
    missing: Sequence[tuple[str, ...]],
    names: Mapping[Market, str],
) -> str | None:
    """Why not all series are counted up to a time; None if they are."""
    behind = min(series, key=lambda each: _known_to_ms(each, series))
    # The period that runs has no row before something of it was counted.
    if _known_to_ms(behind, series) < known_to_ms - _period_ms(behind.interval):
        to = iso(behind.counted_to_ms)
        return f"{_name(behind, names)} is counted up to {to} only; what came later is not known"
    for exchange, symbol, stream, interval in missing:
        if from_ms < known_to_ms - _period_ms(interval):
            name = names[Market(exchange, symbol)]
            what = f"{name} {stream} {interval}".rstrip()
            return f"{what} is not counted in this span; of it nothing is known"
    return None


def _known_from_ms(series: LedgerSeries, followed: Mapping[_Instrument, int | None], from_ms: int) -> int:
    """Since when a series is counted: its first row; of trades also the first bar of the stream.

    The period in which the span begins has no row in the span.
    """
    known_ms = series.counted_from_ms
    if not series.interval:
        known_ms = min(known_ms, followed.get((series.exchange, series.symbol)) or known_ms)
    return known_ms if known_ms - from_ms >= _period_ms(series.interval) else from_ms


def _known_to_ms(series: LedgerSeries, others: list[LedgerSeries]) -> int:
    """Up to when a series is counted."""
    return max(each.counted_to_ms for each in _proving(series, others))


def _proving(series: LedgerSeries, others: list[LedgerSeries]) -> list[LedgerSeries]:
    """The series that show that it is counted: minutes without a trade have no row, but the bars of the same
    instrument have."""
    if series.interval:
        return [series]
    name = series.exchange, series.symbol
    return [each for each in others if (each.exchange, each.symbol) == name]


def _name(series: LedgerSeries, names: Mapping[Market, str]) -> str:
    return f"{names[Market(series.exchange, series.symbol)]} {series.stream} {series.interval}".rstrip()


def _period_ms(interval: str) -> int:
    """Of which the ledger has a row each."""
    return max(INTERVAL_MS.get(interval, 0), _MINUTE_MS)


def _span(given: dict[str, str], now: int) -> tuple[int, int]:
    from_ns, to_ns = read_time("from", given.get("from")), read_time("to", given.get("to"))
    to_ms = now if to_ns is None else to_ns // _NS_PER_MS
    from_ms = max(to_ms - _DAY_MS, 0) if from_ns is None else from_ns // _NS_PER_MS
    if from_ms >= to_ms:
        raise wrong("from", "is not before `to`; swap them")
    if to_ms - from_ms > _LONGEST_MS:
        raise wrong("from", f"more than {_LONGEST_MS // _DAY_MS} days before `to`; ask for a shorter span")
    return from_ms, to_ms
