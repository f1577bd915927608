"""What was looked at, and what it showed: one look for everything that a verdict rests on. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from shared.intervals import INTERVAL_MS
from shared.trade_ids import split

# Services speak once a second; a busy machine may hold one up.
SILENT_S: Final = 30.0
# Best prices and books older than this are held to REST's.
STALE_MS: Final = 60_000
_AGAIN: Final = "; carried again"


class Series(NamedTuple):
    """A stream of one symbol; `interval` is "" for all but klines."""

    symbol: str
    stream: str
    interval: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, self))


class State(enum.Enum):
    SEEN = "seen"
    MISSING = "missing"
    UNKNOWN = "unknown"  # nobody could look


@dataclass(frozen=True, slots=True)
class Look:
    """One thing that was looked at, or could not be.

    Attributes:
        what: a series, a service, the store.
        said: what is wrong with it, or why it is unknown; empty where nothing is.
    """

    what: str
    state: State
    said: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.said}" if self.said else self.what


class Uncarried(NamedTuple):
    """A span in which a stream was not carried, as the producers entered it (ledger kind `uncarried`)."""

    series: Series
    since_ms: int
    until_ms: int
    why: str

    @property
    def over(self) -> bool:
        return self.why.endswith(_AGAIN)


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger and the store have of a series.

    Attributes:
        entered: the newest id (open time for bars) that the ledger heard of in this run; None: no word of it.
        stored: the newest one in the store, of whatever run.
        first: of trades, the lowest number that the ledger heard of in this run.
    """

    entered: int | None = None
    stored: int | None = None
    first: int | None = None

    @property
    def newest(self) -> int | None:
        return max((value for value in (self.entered, self.stored) if value is not None), default=None)


def look_at_trades(
    series: Series, known: Known, before: int | None, newest: int | None, *, bare: bool = False
) -> Look:
    """Hold what we know of a symbol's trades to the newest id that the exchange knows.

    Args:
        before: that of the time when the run began to listen; a series without history begins after it. None
            if nobody said.
        newest: None: there never was a trade.
        bare: nothing of the series was stored before: no other run can have what comes right after `before`.
    """
    if newest is None:
        return Look(str(series), State.SEEN)
    if bare and before is not None and known.first is not None and 0 <= before < known.first - 1:
        epoch, first = split(known.first)
        # Where ids have begun anew since, nobody can say from where on.
        if epoch == 0:
            said = (
                f"trades {before + 1}–{first - 1} are not accounted for: issued since the run began to listen"
            )
            return Look(str(series), State.MISSING, said)
    ours = None if known.newest is None else split(known.newest)[1]
    if before is not None and newest < before // 2:
        # A numbering that begins anew (a REST that trails is not so far behind): what we have of the old one
        # is above it and proves nothing.
        covered = ours is not None and newest <= ours < before
    elif ours is None:
        covered = before is not None and newest <= before
    else:
        covered = ours >= newest
    if covered:
        return Look(str(series), State.SEEN)
    if ours is None:
        since = "" if before is None else f" since {before}, when the run began"
        return Look(
            str(series), State.MISSING, f"no word of it; the exchange has issued trades up to {newest}{since}"
        )
    return Look(str(series), State.MISSING, f"ends with trade {ours}; the exchange has issued up to {newest}")


def bars_to_ask_for(series: Series, known: Known, began_ms: int, last_ms: int, *, warm: bool) -> range:
    """Open times of the bars that should be known by the exchange's clock and are not.

    Args:
        began_ms: the exchange's clock when the run began.
        last_ms: open time of the last bar that has closed.
        warm: bars of before are fetched for a series that has none.
    """
    step = INTERVAL_MS[series.interval]
    unheard = last_ms if warm else began_ms // step * step
    first = unheard if known.newest is None else known.newest + step
    return range(first, last_ms + 1, step)


def look_at_bars(series: Series, asked: range, found: Sequence[int] | None) -> Look:
    """Judge bars that should be known.

    Args:
        found: which of them the exchange has; None if it does not say.
    """
    if not asked:
        return Look(str(series), State.SEEN)
    if found is None:
        return Look(
            str(series),
            State.UNKNOWN,
            f"unknown since {clock(asked[0])}: by the exchange's clock {len(asked):,} bars have closed, "
            "and it does not say whether it has them",
        )
    if not found:
        return Look(str(series), State.SEEN)  # a halt, or a listing that has no bar yet
    return Look(
        str(series),
        State.MISSING,
        f"{len(found):,} missing: open times {found[0]}–{found[-1]}, which the exchange has",
    )


def look_at_prices(
    series: Series,
    newest_ms: int | None,
    prices: tuple[float | None, float | None] | None,
    best: tuple[float | None, float | None] | None,
    *,
    began_ms: int,
    asked_ms: int,
    answered: bool,
) -> tuple[Look, int | None]:
    """Judge the newest quote or book of a symbol by its age, and where that is high by REST's best prices.

    Returns:
        The look, and the age in ms (None: there is none).
    """
    age_ms = None if newest_ms is None else max(0, asked_ms - newest_ms)
    waited_ms = asked_ms - max(began_ms, newest_ms or 0)
    if waited_ms <= STALE_MS or (best is not None and prices == best):
        return Look(str(series), State.SEEN), age_ms
    if best is None and answered:
        return Look(str(series), State.SEEN), age_ms  # nobody offers anything
    since = f"none since {clock(max(began_ms, newest_ms or 0))}"
    if best is None:
        return Look(str(series), State.UNKNOWN, f"unknown: {since}, and the exchange does not answer"), age_ms
    return Look(str(series), State.MISSING, f"{since}, while the exchange's best prices have changed"), age_ms


@dataclass(slots=True)
class PriceAges:
    """How old the newest quotes and books are, in ms by stream, and of which symbols there is none."""

    oldest: dict[str, int] = field(default_factory=dict)
    absent: dict[str, list[str]] = field(default_factory=dict)

    def add(self, stream: str, symbol: str, age_ms: int | None) -> None:
        """One symbol's; None: there is none."""
        if age_ms is None:
            self.absent.setdefault(stream, []).append(symbol)
        else:
            self.oldest[stream] = max(age_ms, self.oldest.get(stream, 0))

    def in_words(self) -> list[str]:
        """For the line of a complete run: a run of seconds may end before the first of them is stored."""
        return [
            *(f"{stream} {age_ms / 1000:.1f} s old at most" for stream, age_ms in self.oldest.items()),
            *(f"no {stream} of {', '.join(names)} in the store yet" for stream, names in self.absent.items()),
        ]


def look_at_recorded_prices(series: Series, newest_ms: int | None, played_ms: int, bucket_ms: int) -> Look:
    """Hold the newest quote in the store to the newest one that was played."""
    if newest_ms is not None and newest_ms >= played_ms // bucket_ms * bucket_ms:
        return Look(str(series), State.SEEN)
    has = "none" if newest_ms is None else f"the newest of {clock(newest_ms)}"
    return Look(
        str(series), State.MISSING, f"the recording has one of {clock(played_ms)}, the store has {has}"
    )


def looks_at_uncarried(spans: Iterable[Uncarried]) -> list[Look]:
    """The newest word on each stream that was not carried: what is not over is missing."""
    newest: dict[Series, Uncarried] = {}
    for span in spans:
        if span.series not in newest or span.until_ms >= newest[span.series].until_ms:
            newest[span.series] = span
    return [
        Look(str(span.series), State.SEEN)
        if span.over
        else Look(str(span.series), State.MISSING, f"not carried since {clock(span.since_ms)}: {span.why}")
        for span in newest.values()
    ]


def looks_at_services(
    expected: Iterable[str], ages_s: Mapping[str, float], *, restarted: bool = False
) -> list[Look]:
    """Whether each service had spoken shortly before it was asked to stop.

    Args:
        ages_s: seconds since its last word, by service.
        restarted: their process is not the first one.
    """
    silent = (
        "was started again and has not said since that it carries on: what it missed is unknown"
        if restarted
        else "never said a word: what it did is unknown"
    )
    looks = []
    for service in expected:
        age_s = ages_s.get(service)
        if age_s is None:
            looks.append(Look(service, State.UNKNOWN, silent))
        elif age_s > SILENT_S:
            said = f"silent for {age_s:.0f} s before the end: what it had in hand is unknown"
            looks.append(Look(service, State.UNKNOWN, said))
        else:
            looks.append(Look(service, State.SEEN))
    return looks


def clock(time_ms: int) -> str:
    """A time in UTC, to the second."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
