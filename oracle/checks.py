"""Checks of a run, on plain values: no files, no clocks, nothing of how the run was made.

A run is one or several invocations of a command on the same data, one after another. The last one's exit code
claims whether the store is complete; the exchange's log says what complete is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from oracle.exchange_log import Bar, BarSeries, ExchangeLog, TradeKey
from oracle.stores import Stored

Kind = Literal[
    "missing",  # exit 0, and something issued is not in the store
    "claimed",  # the ledger claims more rows than the store has
    "unissued",  # stored, and never issued
    "different",  # stored with other numbers
    "twice",  # one trade in two rows
    "deleted",  # was in the store before, and is gone
    "silent",  # exit 0 with nothing checked, though something was issued
    "unended",  # neither exit code 0 nor 1
    "unnamed",  # exit 1 without a reason
    "needless",  # exit 1 of an undisturbed run
]
_EXAMPLES: Final = 3
# As in: complete, 2,000 trades and bars expected (3 of them while … or we were off), nothing lost.
_OFF: Final = re.compile(r"\(([\d,]+) of them while[^)]*off\)")
_NOTHING: Final = re.compile(r"complete: nothing had to be stored")
_RESULT: Final = re.compile(r"^\s*(NOT COMPLETE|error:)")
_NAMED: Final = re.compile(
    r"^\s*(error:.*|.*\b(lost|missing|unknown|not carried|not stored|not looked at|gone|killed|ended"
    r"|exit(ed)?|stopped|nothing|no trade|cannot|refuse[sd]?|dead|removed|disagree[sd]?)\b.*)",
    re.IGNORECASE,
)


class Violation(NamedTuple):
    """A failed check: what is wrong, how often, and the first few cases in words."""

    kind: Kind
    what: str
    how_often: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        shown = "; ".join(self.examples) + ("; …" if self.how_often > len(self.examples) else "")
        return f"{self.kind}: {self.what}: {self.how_often:,}: {shown}"


@dataclass(frozen=True, slots=True)
class Ended:
    """How the last invocation ended: its exit code (None: it had to be killed) and its output."""

    exit_code: int | None
    output: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """A span of the exchange's time, both ends included."""

    begin_ms: int
    end_ms: int

    def has(self, time_ms: int) -> bool:
        return self.begin_ms <= time_ms <= self.end_ms


@dataclass(frozen=True, slots=True)
class Case:
    """All that the checks need of a run.

    Attributes:
        issued: by the exchange's log.
        stored: None: the store does not exist.
        span: everything issued in it must be checked; more where the store begins earlier.
        symbols, intervals: as requested.
        away: spans between invocations; what was issued in them may be missing if the command says so.
        before: earlier contents of the store, which must stay.
        taken_until_ms: when an earlier store was removed with its contents; None: never.
        undisturbed: no faults were injected, so that only exit code 0 is right.
    """

    issued: ExchangeLog
    stored: Stored | None
    ended: Ended
    span: Span
    symbols: Sequence[str]
    intervals: Sequence[str]
    away: Sequence[Span] = ()
    before: Sequence[Stored] = ()
    taken_until_ms: int | None = None
    undisturbed: bool = False


def violations_of(case: Case) -> tuple[Violation, ...]:
    """Every failed check; empty if the run's exit code is right."""
    stored = case.stored or Stored()
    return (
        *_of_the_end(case),
        *(_of_exit_0(case) if case.ended.exit_code == 0 else ()),
        *_of_rows(case.issued, stored),
        *_of_claims(case, stored),
        *_of_deletions(case, stored),
    )


def missing(case: Case) -> tuple[list[tuple[str, TradeKey]], list[tuple[BarSeries, int]]]:
    """Trades and bars that were issued, had to be checked, and are not in the store."""
    stored = case.stored or Stored()
    trades = [(symbol, key) for symbol in case.symbols for key in _missing_trades(case, stored, symbol)]
    bars = [
        (series, open_ms)
        for symbol in case.symbols
        for interval in case.intervals
        for series in (BarSeries(symbol, interval),)
        for open_ms in _missing_bars(case, stored, series)
    ]
    return trades, bars


def _missing_trades(case: Case, stored: Stored, symbol: str) -> Iterator[TradeKey]:
    has = {key for key, _ in stored.trades.get(symbol, ())}
    begin_ms = min((case.span.begin_ms, *(key.time_ms for key in has)))
    for key in sorted(case.issued.trades.get(symbol, ()), key=lambda key: (key.time_ms, key.trade_id)):
        if begin_ms <= key.time_ms <= case.span.end_ms and key not in has:
            # The first stored trade's millisecond may hold trades issued before it.
            if key.time_ms == begin_ms and begin_ms < case.span.begin_ms:
                continue
            yield key


def _missing_bars(case: Case, stored: Stored, series: BarSeries) -> Iterator[int]:
    has = stored.bars.get(series, {})
    begin_ms = min((case.span.begin_ms, *has))
    for open_ms, bar in sorted(case.issued.bars.get(series, {}).items()):
        if begin_ms <= open_ms and bar.close_time_ms < case.span.end_ms and open_ms not in has:
            yield open_ms


def _of_the_end(case: Case) -> Iterator[Violation]:
    exit_code, output = case.ended.exit_code, case.ended.output
    last = tuple(output[-_EXAMPLES:])
    if exit_code not in (0, 1):
        how = "had to be killed" if exit_code is None else f"exit code {exit_code}"
        yield Violation("unended", how, 1, last)
    if exit_code == 1 and case.undisturbed:
        yield Violation("needless", "exit code 1", 1, last)
    if exit_code == 1 and not any(_NAMED.match(line) for line in _said_at_the_end(output)):
        yield Violation("unnamed", "exit code 1", 1, last)


def _said_at_the_end(output: Sequence[str]) -> Iterable[str]:
    """The lines around the result, which itself says only that something is wrong."""
    results = [index for index, line in enumerate(output) if _RESULT.match(line)]
    if not results:
        return output[-20:]
    return [
        line
        for index, line in enumerate(output)
        if index >= results[0] - 20 and not line.lstrip().startswith("NOT COMPLETE")
    ]


def _of_exit_0(case: Case) -> Iterator[Violation]:
    if case.stored is None:
        yield Violation("missing", "the store", 1, ("it does not exist",))
    output = "\n".join(case.ended.output)
    issued = any(
        case.span.has(key.time_ms) for symbol in case.symbols for key in case.issued.trades.get(symbol, ())
    )
    if issued and _NOTHING.search(output):
        yield Violation("silent", "exit code 0", 1, ("nothing had to be stored, it says",))
    said_off = _said_off(output)
    trades, bars = missing(case)
    left_trades = [(symbol, key) for symbol, key in trades if not _away(case, key.time_ms)]
    left_bars = [(series, at) for series, at in bars if not _away(case, at)]
    if len(trades) + len(bars) - len(left_trades) - len(left_bars) > said_off:
        left_trades, left_bars = trades, bars
    for symbol in case.symbols:
        keys = [key for of, key in left_trades if of == symbol]
        yield from _violation("missing", f"{symbol} trades", [_trade(key) for key in keys])
        for interval in case.intervals:
            opens = [at for series, at in left_bars if series == (symbol, interval)]
            yield from _violation("missing", f"{symbol} {interval} bars", [f"open {at}" for at in opens])


def _said_off(output: str) -> int:
    found = _OFF.findall(output)
    return int(found[-1].replace(",", "")) if found else 0


def _away(case: Case, time_ms: int) -> bool:
    return any(span.has(time_ms) for span in case.away)


def _of_rows(log: ExchangeLog, stored: Stored) -> Iterator[Violation]:
    for symbol, rows in stored.trades.items():
        issued = log.trades.get(symbol, {})
        counts = Counter(key for key, _ in rows)
        twice = [_trade(key) for key, count in counts.items() if count > 1]
        yield from _violation("twice", f"{symbol} trades", twice)
        unissued = [_trade(key) for key in counts if key not in issued]
        yield from _violation("unissued", f"{symbol} trades", unissued)
        different = [
            f"{_trade(key)}: {numbers} is not {issued[key]}"
            for key, numbers in rows
            if key in issued and numbers != issued[key]
        ]
        yield from _violation("different", f"{symbol} trades", different)
    for series, bars in stored.bars.items():
        known = log.bars.get(series, {})
        what = f"{series.symbol} {series.interval} bars"
        yield from _violation("unissued", what, [f"open {at}" for at in bars if at not in known])
        yield from _violation("different", what, list(_other_bars(known, bars)))


def _other_bars(known: Mapping[int, Bar], bars: Mapping[int, tuple[float, ...]]) -> Iterator[str]:
    for at, numbers in bars.items():
        if at in known and numbers != known[at].numbers:
            yield f"open {at}: {numbers} is not {known[at].numbers}"


def _of_claims(case: Case, stored: Stored) -> Iterator[Violation]:
    taken_ms = case.taken_until_ms or 0
    for (symbol, stream, interval), claimed in stored.claimed.items():
        if stream == "trades":
            rows = {key for key, _ in stored.trades.get(symbol, ())}
            taken = {key for key in case.issued.trades.get(symbol, ()) if key.time_ms <= taken_ms}
            there = len(rows | taken)
        elif stream == "klines":
            series = BarSeries(symbol, interval)
            opens = (
                at for at, bar in case.issued.bars.get(series, {}).items() if bar.close_time_ms <= taken_ms
            )
            there = len({*stored.bars.get(series, ()), *opens})
        else:
            continue
        if claimed > there:
            what = " ".join(filter(None, (symbol, stream, interval)))
            yield Violation("claimed", what, claimed - there, (f"{claimed:,} claimed, {there:,} there",))


def _of_deletions(case: Case, stored: Stored) -> Iterator[Violation]:
    for earlier in case.before:
        for symbol, rows in earlier.trades.items():
            now = {key for key, _ in stored.trades.get(symbol, ())}
            gone = [_trade(key) for key in dict(rows) if key not in now]
            yield from _violation("deleted", f"{symbol} trades", gone)
        for series, bars in earlier.bars.items():
            left = stored.bars.get(series, {})
            gone = [f"open {at}" for at in bars if at not in left]
            yield from _violation("deleted", f"{series.symbol} {series.interval} bars", gone)


def _violation(kind: Kind, what: str, cases: Sequence[str]) -> Iterator[Violation]:
    if cases:
        yield Violation(kind, what, len(cases), tuple(cases[:_EXAMPLES]))


def _trade(key: TradeKey) -> str:
    return f"{key.trade_id} at {key.time_ms}"
