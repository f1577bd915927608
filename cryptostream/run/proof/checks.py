"""Checks that the outcome of a run consists of, one result for each series and service. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from shared.intervals import INTERVAL_MS
from shared.trade_ids import shown, split

# Services report once a second; a busy machine may delay a report.
SILENT_S: Final = 30.0
# Best prices and books older than this are compared with REST's.
STALE_MS: Final = 60_000
_RANGES_SHOWN: Final = 3
_AGAIN: Final = "; carried again"


class Series(NamedTuple):
    """A stream of one symbol; `interval` is "" for all but klines."""

    symbol: str
    stream: str
    interval: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, self))


class Status(enum.Enum):
    OK = "ok"
    MISSING = "missing"
    UNKNOWN = "unknown"  # could not be checked


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one check.

    Attributes:
        subject: a series, a service, the store.
        detail: what is wrong, or why it is unknown; empty if nothing is.
    """

    subject: str
    status: Status
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.detail}" if self.detail else self.subject


class Uncarried(NamedTuple):
    """A time in which a stream was not carried, from the ledger (kind `uncarried`)."""

    series: Series
    since_ms: int
    until_ms: int
    why: str

    @property
    def over(self) -> bool:
        return self.why.endswith(_AGAIN)


@dataclass(frozen=True, slots=True)
class KnownIds:
    """Ids of a series (open times for bars) in the ledger and the store; None if there is none.

    Attributes:
        entered: the newest in the ledger's events of this run.
        stored: the newest in the store, of any run.
        first: of trades, the lowest in the ledger's events of this run.
    """

    entered: int | None = None
    stored: int | None = None
    first: int | None = None

    @property
    def newest(self) -> int | None:
        return max((value for value in (self.entered, self.stored) if value is not None), default=None)


def check_trades(
    series: Series, known: KnownIds, before: int | None, newest: int | None, *, bare: bool = False
) -> Result:
    """Compare a symbol's trades with the exchange's newest id.

    Args:
        before: the newest id when the run began to listen; a series without history begins after it. None if
            unknown.
        newest: None if there never was a trade.
        bare: no trade was stored before, so that this run must have those right after `before`.
    """
    if newest is None:
        return Result(str(series), Status.OK)
    if bare and before is not None and known.first is not None and 0 <= before < known.first - 1:
        epoch, first = split(known.first)
        # If ids have begun anew since, their first one is unknown.
        if epoch == 0:
            detail = (
                f"trades {before + 1}–{first - 1} are not accounted for: issued since the run began to listen"
            )
            return Result(str(series), Status.MISSING, detail)
    ours = None if known.newest is None else split(known.newest)[1]
    if before is not None and newest < before // 2:
        # Ids have begun anew (a REST that lags is not so far behind): ids of the old numbering are higher and
        # prove nothing.
        covered = ours is not None and newest <= ours < before
    elif ours is None:
        covered = before is not None and newest <= before
    else:
        covered = ours >= newest
    if covered:
        return Result(str(series), Status.OK)
    if ours is None:
        since = "" if before is None else f" since {before}, when the run began"
        return Result(
            str(series),
            Status.MISSING,
            f"no event of it; the exchange has issued trades up to {newest}{since}",
        )
    return Result(
        str(series), Status.MISSING, f"ends with trade {ours}; the exchange has issued up to {newest}"
    )


def overdue_bars(series: Series, known: KnownIds, began_ms: int, last_ms: int, *, warm: bool) -> range:
    """Open times of the bars that have closed by the exchange's clock and are not known.

    Args:
        began_ms: the exchange's clock when the run began.
        last_ms: open time of the last closed bar.
        warm: a series without bars fetches earlier ones.
    """
    step = INTERVAL_MS[series.interval]
    first = last_ms if warm else began_ms // step * step
    if known.newest is not None:
        first = known.newest + step
    return range(first, last_ms + 1, step)


def check_bars(series: Series, asked: range, found: Sequence[int] | None) -> Result:
    """Check overdue bars.

    Args:
        asked: open times of the overdue bars.
        found: those that the exchange has; None if it does not answer.
    """
    if not asked:
        return Result(str(series), Status.OK)
    if found is None:
        return Result(
            str(series),
            Status.UNKNOWN,
            f"unknown since {utc_text(asked[0])}: by the exchange's clock {len(asked):,} bars have closed, "
            "and it does not say whether it has them",
        )
    if not found:
        return Result(str(series), Status.OK)  # a halt, or a new listing
    return Result(
        str(series),
        Status.MISSING,
        f"{len(found):,} missing: open times {found[0]}–{found[-1]}, which the exchange has",
    )


def check_prices(
    series: Series,
    newest_ms: int | None,
    prices: tuple[float | None, float | None] | None,
    best: tuple[float | None, float | None] | None,
    *,
    began_ms: int,
    asked_ms: int,
    answered: bool,
) -> tuple[Result, int | None]:
    """Check the newest quote or book of a symbol by its age, an old one by REST's best prices.

    Returns:
        The result, and the age in ms (None if there is no quote or book).
    """
    age_ms = None if newest_ms is None else max(0, asked_ms - newest_ms)
    waited_ms = asked_ms - max(began_ms, newest_ms or 0)
    if waited_ms <= STALE_MS or (best is not None and prices == best):
        return Result(str(series), Status.OK), age_ms
    if best is None and answered:
        return Result(str(series), Status.OK), age_ms  # the order book is empty
    since = f"none since {utc_text(max(began_ms, newest_ms or 0))}"
    if best is None:
        return Result(
            str(series), Status.UNKNOWN, f"unknown: {since}, and the exchange does not answer"
        ), age_ms
    return Result(
        str(series), Status.MISSING, f"{since}, while the exchange's best prices have changed"
    ), age_ms


@dataclass(slots=True)
class PriceAges:
    """Ages of the newest quotes and books in ms, by stream, and the symbols without any."""

    oldest: dict[str, int] = field(default_factory=dict)
    absent: dict[str, list[str]] = field(default_factory=dict)

    def add(self, stream: str, symbol: str, age_ms: int | None) -> None:
        if age_ms is None:
            self.absent.setdefault(stream, []).append(symbol)
        else:
            self.oldest[stream] = max(age_ms, self.oldest.get(stream, 0))

    def in_words(self) -> list[str]:
        """Text for the last line of a complete run, which may be too short for a stored quote or book."""
        return [
            *(f"{stream} {age_ms / 1000:.1f} s old at most" for stream, age_ms in self.oldest.items()),
            *(f"no {stream} of {', '.join(names)} in the store yet" for stream, names in self.absent.items()),
        ]


def check_recorded_prices(series: Series, newest_ms: int | None, played_ms: int, bucket_ms: int) -> Result:
    """Compare the newest stored quote with the newest one that was played."""
    if newest_ms is not None and newest_ms >= played_ms // bucket_ms * bucket_ms:
        return Result(str(series), Status.OK)
    has = "none" if newest_ms is None else f"the newest of {utc_text(newest_ms)}"
    return Result(
        str(series), Status.MISSING, f"the recording has one of {utc_text(played_ms)}, the store has {has}"
    )


def check_uncarried(spans: Iterable[Uncarried]) -> list[Result]:
    """A stream is missing if its newest uncarried span is not over."""
    newest: dict[Series, Uncarried] = {}
    for span in spans:
        if span.series not in newest or span.until_ms >= newest[span.series].until_ms:
            newest[span.series] = span
    return [
        Result(str(span.series), Status.OK)
        if span.over
        else Result(
            str(span.series), Status.MISSING, f"not carried since {utc_text(span.since_ms)}: {span.why}"
        )
        for span in newest.values()
    ]


def check_read(
    topics: Iterable[str], unread: Mapping[str, str], refused: Mapping[str, tuple[int, str]]
) -> list[Result]:
    """Whether the topics that tell of the run were read to their ends, after all who write there had ended.

    Args:
        unread: those that were not, and why.
        refused: of a topic with events that were not counted, their number, and why the first was not.
    """
    results = []
    for topic in topics:
        details = []
        if topic in unread:
            details.append(
                f"unknown: not read to its end ({unread[topic]}), so that what was entered last is not"
                " counted; see the broker's log, and once it answers: cryptostream ledger"
            )
        if topic in refused:
            count, why = refused[topic]
            details.append(
                f"unknown: {count:,} of its events cannot be read ({why}) and may tell of a"
                " loss; see the dead letters"
            )
        results += [Result(topic, Status.UNKNOWN, detail) for detail in details]
        if not details:
            results.append(Result(topic, Status.OK))
    return results


def check_services(
    expected: Iterable[str], ages_s: Mapping[str, float], *, restarted: bool = False
) -> list[Result]:
    """Whether each service reported shortly before it was asked to stop.

    Args:
        ages_s: seconds since its last report, by service.
        restarted: their process was restarted.
    """
    silent = (
        "was restarted and has not reported since: what it missed is unknown"
        if restarted
        else "never reported: what it did is unknown"
    )
    results = []
    for service in expected:
        age_s = ages_s.get(service)
        if age_s is None:
            results.append(Result(service, Status.UNKNOWN, silent))
        elif age_s > SILENT_S:
            detail = f"silent for {age_s:.0f} s before the end: what it was processing is unknown"
            results.append(Result(service, Status.UNKNOWN, detail))
        else:
            results.append(Result(service, Status.OK))
    return results


def ranges_text(stream: str, ranges: Sequence[tuple[int, int]]) -> str:
    """The first ranges of trade ids or open times."""
    text = shown if stream == "trades" else str
    each = [text(first) if first == last else f"{text(first)}–{text(last)}" for first, last in ranges]
    more = len(each) - _RANGES_SHOWN
    unit = "trade ids" if stream == "trades" else "open times"
    return f"{unit} {', '.join(each[:_RANGES_SHOWN])}{f' and {more} more ranges' if more > 0 else ''}"


def utc_text(time_ms: int) -> str:
    """A time in UTC, to the second."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
