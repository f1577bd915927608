"""Bars count trades, whatever their ids: the stored ones are held to these counts at the end of a run.

Ids alone cannot tell of trades of a numbering that nobody has seen, or of ids that somebody has taken back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Final, NamedTuple

from consumers.measurements import KLINE, TRADE
from consumers.stores.port import Reader
from cryptostream.embedded.evidence import Look, Series, State, clock
from shared.errors import StoreError
from shared.intervals import INTERVAL_MS

# A series that has no trade yet begins within so long, whatever the connection does.
_BEGINNING_MS: Final = 30_000
# Read of one series, the newest ones: some seconds.
_MOST_ROWS: Final = 200_000
# Bars that REST gives at a time, and how often it is asked for one symbol.
_PAGE: Final = 1_000
_MOST_PAGES: Final = 5
_NS_PER_MS: Final = 1_000_000

CountsOf = Callable[[int, int], dict[int, int] | None]


class Span(NamedTuple):
    """The exchange's clock when a run began to listen, and when it was asked to end."""

    began_ms: int
    ended_ms: int


class HeldToCounts(NamedTuple):
    """What came of it, and how many bars the trades of a symbol were held to: none that closed is no look."""

    look: Look
    bars: int


def short_bars(counts: Mapping[int, int], stored: Mapping[int, int], step_ms: int) -> dict[int, int]:
    """By open time, how many trades a bar counts that are not stored.

    A trade at a border may lie in the time of the one bar and be counted by the other.
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


def look_at_counts(
    open_reader: Callable[[], Reader], exchange: str, bars: Series, span: Span, counts_of: CountsOf
) -> HeldToCounts:
    """Hold the trades in the store to the counts of the bars in it, those that closed within the run.

    Args:
        bars: the series of bars that counts them, the shortest there is.
        counts_of: what the exchange says now of the bars from one open time to another: a bar may have been
            stored with a wrong count. None if it does not answer.
    """
    name = f"{bars.symbol} trades"
    try:
        with closing(open_reader()) as reader:
            counts, stored = _read(reader, exchange, bars, span)
    except StoreError as error:
        said = f"the store cannot be held to the counts of bars: {error}"
        return HeldToCounts(Look(name, State.UNKNOWN, said), 0)
    return HeldToCounts(_look(name, bars.interval, counts, stored, counts_of), len(counts))


def _look(
    name: str, interval: str, counts: Mapping[int, int], stored: Mapping[int, int], counts_of: CountsOf
) -> Look:
    step_ms = INTERVAL_MS[interval]
    short = short_bars(counts, stored, step_ms)
    if not short:
        return Look(name, State.SEEN)
    opens = sorted(short)
    said = _ask(opens, step_ms, counts_of)
    if said is None:
        doubtful = f"stored bars count {sum(short.values()):,} trades more than are stored, since"
        return Look(
            name, State.UNKNOWN, f"{doubtful} {clock(opens[0])}; the exchange does not say whether it is so"
        )
    short = short_bars({**counts, **{at: said[at] for at in opens if at in said}}, stored, step_ms)
    if not short:
        return Look(name, State.SEEN)
    first, last = min(short), max(short)
    return Look(
        name,
        State.MISSING,
        f"{sum(short.values()):,} that the {interval} bars from {clock(first)} to {clock(last)} count "
        "are not in the store",
    )


def _read(reader: Reader, exchange: str, bars: Series, span: Span) -> tuple[dict[int, int], Counter[int]]:
    """Counts by open time, and stored trades by the open time of the bar that they lie in."""
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
        # The bar in which our trades begin counts some of before.
        if first_ms < open_ms and open_ms + step_ms <= span.ended_ms:
            counts[open_ms] = int(row["trade_count"] or 0)
    return counts, stored


def _ask(opens: list[int], step_ms: int, counts_of: CountsOf) -> dict[int, int] | None:
    said: dict[int, int] = {}
    asked_ms = -1
    pages = 0
    for open_ms in opens:
        if open_ms <= asked_ms:
            continue
        if pages == _MOST_PAGES:
            break  # the rest stands by the word of the stored bars
        asked_ms = open_ms + (_PAGE - 1) * step_ms
        answer = counts_of(open_ms, min(asked_ms, opens[-1]))
        if answer is None:
            return None
        said |= answer
        pages += 1
    return said
