"""Compares the number of stored trades with the trade counts of the bars, at the end of a run.

Ids alone do not reveal missing trades of an unknown numbering, or ids that the exchange has reused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Final, NamedTuple

from consumers.measurements import KLINE, TRADE
from consumers.stores.port import Reader
from cryptostream.run.proof.checks import Result, Series, Status, utc_text
from shared.errors import StoreError
from shared.intervals import INTERVAL_MS

# A series without a trade begins within this time after the run.
_BEGINNING_MS: Final = 30_000
# The newest rows of one series: some seconds.
_MOST_ROWS: Final = 200_000
# Bars of one REST answer, and requests for one symbol.
_PAGE: Final = 1_000
_MOST_PAGES: Final = 5
_NS_PER_MS: Final = 1_000_000

CountsOf = Callable[[int, int], dict[int, int] | None]


class Span(NamedTuple):
    """The exchange's clock when a run began to listen, and when it was asked to stop."""

    began_ms: int
    ended_ms: int


class CountCheck(NamedTuple):
    """The result for a symbol's trades, and with how many bars they were compared."""

    result: Result
    bars: int


def short_bars(counts: Mapping[int, int], stored: Mapping[int, int], step_ms: int) -> dict[int, int]:
    """By open time, how many trades of a bar's count are not stored.

    A trade at the border of two bars may be counted by either.
    """
    spare = {open_ms: max(0, stored.get(open_ms, 0) - count) for open_ms, count in counts.items()}
    short: dict[int, int] = {}
    for open_ms in sorted(counts):
        lacking = counts[open_ms] - stored.get(open_ms, 0)
        for neighbour in (open_ms - step_ms, open_ms + step_ms):
            lent = max(0, min(lacking, spare.get(neighbour, 0)))
            if lent:
                spare[neighbour] -= lent
                lacking -= lent
        if lacking > 0:
            short[open_ms] = lacking
    return short


def check_counts(
    open_reader: Callable[[], Reader], exchange: str, bars: Series, span: Span, counts_of: CountsOf
) -> CountCheck:
    """Compare the stored trades with the counts of the stored bars that closed within the run.

    Args:
        bars: the series of bars with the shortest interval.
        counts_of: the exchange's present counts for the bars from one open time to another, since a stored
            count may be wrong. None if it does not answer.
    """
    name = f"{bars.symbol} trades"
    try:
        with closing(open_reader()) as reader:
            counts, stored = _read(reader, exchange, bars, span)
    except StoreError as error:
        detail = f"the trades cannot be compared with the counts of bars: {error}"
        return CountCheck(Result(name, Status.UNKNOWN, detail), 0)
    return CountCheck(_compare(name, bars.interval, counts, stored, counts_of), len(counts))


def _compare(
    name: str, interval: str, counts: Mapping[int, int], stored: Mapping[int, int], counts_of: CountsOf
) -> Result:
    step_ms = INTERVAL_MS[interval]
    short = short_bars(counts, stored, step_ms)
    if not short:
        return Result(name, Status.OK)
    opens = sorted(short)
    answered = _ask(opens, step_ms, counts_of)
    if answered is None:
        doubtful = f"stored bars count {sum(short.values()):,} trades more than are stored, since"
        return Result(
            name,
            Status.UNKNOWN,
            f"{doubtful} {utc_text(opens[0])}; the exchange does not say whether it is so",
        )
    short = short_bars({**counts, **{at: answered[at] for at in opens if at in answered}}, stored, step_ms)
    if not short:
        return Result(name, Status.OK)
    first, last = min(short), max(short)
    return Result(
        name,
        Status.MISSING,
        f"{sum(short.values()):,} that the {interval} bars from {utc_text(first)} to {utc_text(last)} count "
        "are not in the store",
    )


def _read(reader: Reader, exchange: str, bars: Series, span: Span) -> tuple[dict[int, int], Counter[int]]:
    """Counts of the bars, and numbers of stored trades, both by open time."""
    step_ms = INTERVAL_MS[bars.interval]
    tags = {"exchange": exchange, "symbol": bars.symbol}
    since_ns = span.began_ms * _NS_PER_MS
    stored: Counter[int] = Counter()
    first_ms, rows = span.began_ms + _BEGINNING_MS, 0
    for row in reader.read(TRADE.name, tags, from_ns=since_ns, last=_MOST_ROWS):
        time_ms = int(row["time_ns"] or 0) // _NS_PER_MS
        first_ms = time_ms if rows == 0 and time_ms < first_ms else first_ms
        stored[time_ms // step_ms * step_ms] += 1
        rows += 1
    if rows == _MOST_ROWS:
        first_ms = min(stored)
    tags["interval"] = bars.interval
    counts: dict[int, int] = {}
    for row in reader.read(KLINE.name, tags, from_ns=since_ns, last=_MOST_ROWS):
        open_ms = int(row["time_ns"] or 0) // _NS_PER_MS
        # The bar in which the stored trades begin counts earlier ones too.
        if first_ms < open_ms and open_ms + step_ms <= span.ended_ms:
            counts[open_ms] = int(row["trade_count"] or 0)
    return counts, stored


def _ask(opens: list[int], step_ms: int, counts_of: CountsOf) -> dict[int, int] | None:
    answers: dict[int, int] = {}
    asked_ms = -1
    pages = 0
    for open_ms in opens:
        if open_ms <= asked_ms:
            continue
        if pages == _MOST_PAGES:
            break  # for the rest the counts of the stored bars are taken
        asked_ms = open_ms + (_PAGE - 1) * step_ms
        answer = counts_of(open_ms, min(asked_ms, opens[-1]))
        if answer is None:
            return None
        answers |= answer
        pages += 1
    return answers
