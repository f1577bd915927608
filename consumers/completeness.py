"""The completeness ledger: sets of id ranges per series, and the lost ids that follow (DESIGN §5.3). Pure.

It takes the messages of `pipeline.ledger` in any order, any number of times: applying a range twice changes
nothing. Kline ids are `open_time_ms // interval_ms`; trade ids are the exchange's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from consumers.arrival import MAX_TIME_MS
from consumers.ledger_account import ISSUED, MAX_RANGES, SETS, Account, MinuteRow, Totals, period_ms
from shared.id_ranges import IdRanges
from shared.intervals import INTERVAL_MS
from shared.ledger import LedgerSeries
from shared.messages import AS_TRADES_SAY, TRADES_SAY, LedgerMessage

__all__ = ["MAX_RANGES", "CompletenessLedger", "MinuteRow", "Totals", "period_ms", "refusal"]

# A bar is expected by the exchange's clock this long after its end: within seconds producers report that it
# exists or is missing.
CLOCK_GRACE_MS: Final = 60_000
COUNTED_STREAMS: Final = frozenset(("klines", "trades"))


class CompletenessLedger:
    """All series of a deployment.

    Bounded: where the sets of a series have more than `max_ranges` ranges together, older ids are counted
    into the totals and dropped, the missing ones last (`consumers.rolled_up`). Later events about dropped ids
    are ignored, unless they tell a loss.
    """

    def __init__(self, max_ranges: int = MAX_RANGES) -> None:
        self._max_ranges = max_ranges
        self._accounts: dict[LedgerSeries, Account] = {}
        self._changed: dict[LedgerSeries, IdRanges] = {}

    def receive(self, message: LedgerMessage) -> str | None:
        """Apply an event; the reason if it is inconsistent and was ignored."""
        reason = refusal(message)
        if reason is not None or message["stream"] not in COUNTED_STREAMS:
            return reason
        if message["kind"] == "uncarried":
            return None
        series = LedgerSeries.of(message)
        account = self._accounts.get(series)
        if account is None:
            account = self._accounts[series] = Account(series, self._max_ranges)
        first, last = message["first"] // series.unit, message["last"] // series.unit
        undated = message["stream"] == "trades" and message["event_time_ms"] is None
        if undated and message["kind"] in ISSUED:
            account.dates.hear(min(message["received_time_ms"], MAX_TIME_MS))
        self._change(series, account.enter(_entry(message), first, last, message["event_time_ms"]))
        return None

    def expect_by_clock(self, now_ms: int) -> list[LedgerSeries]:
        """Expect every bar that has closed at the exchange, whether or not its producer runs.

        Args:
            now_ms: the exchange's time, by records of the deployment.

        Returns:
            Series with new expected bars.
        """
        longer = []
        for series, account in self._accounts.items():
            if series.stream == "klines":
                periods = account.expect_to((now_ms - CLOCK_GRACE_MS) // series.unit - 1)
                if periods:
                    self._change(series, periods)
                    longer.append(series)
        return longer

    def silent_since(self) -> dict[LedgerSeries, int]:
        """Series whose producer has become silent, by the exchange's time since when.

        Bars show it: whether there were trades is unknown. A producer that was stopped is not silent.
        """
        silent: dict[LedgerSeries, int] = {}
        newest: dict[tuple[str, str], tuple[int, bool]] = {}
        for series, account in self._accounts.items():
            if series.stream == "klines" and account.heard is not None:
                heard_ms, is_silent = (account.heard + 1) * series.unit, bool(account.unheard())
                if is_silent:
                    silent[series] = heard_ms
                newest[series[:2]] = max((heard_ms, is_silent), newest.get(series[:2], (0, False)))
        for series, account in self._accounts.items():
            heard_ms, is_silent = newest.get(series[:2], (0, False))
            if series.stream == "trades" and is_silent and account.stopped_ms is None:
                silent[series] = heard_ms
        return silent

    def take_changed(self) -> dict[LedgerSeries, IdRanges]:
        """Periods (numbers of `period_ms`) whose rows may have changed since the last call."""
        changed, self._changed = self._changed, {}
        return changed

    def rows(self, series: LedgerSeries, periods: Iterable[int]) -> Iterator[tuple[int, MinuteRow]]:
        """Begins of periods (ms) and their rows. Ids in flight count as lost until they are stored."""
        account = self._accounts.get(series)
        if account is not None:
            for period in periods:
                row = account.row(period)
                if row is not None:
                    yield row

    def forget(self, series: LedgerSeries) -> None:
        """Drop a series that another consumer has taken over."""
        self._accounts.pop(series, None)
        self._changed.pop(series, None)

    def account(self, series: LedgerSeries) -> Account:
        """A series, read-only. Raises KeyError if it is unknown."""
        return self._accounts[series]

    def series(self) -> list[LedgerSeries]:
        """All counted series."""
        return list(self._accounts)

    def __contains__(self, series: object) -> bool:
        return series in self._accounts

    def ranges(self, series: LedgerSeries) -> dict[str, IdRanges]:
        """A series' sets, read-only, without the ids that were rolled up."""
        account = self._accounts[series]
        return {name: getattr(account, name) for name in SETS}

    def totals(self) -> dict[LedgerSeries, Totals]:
        return {series: account.totals() for series, account in self._accounts.items()}

    def restore(self, account: Account, changed: IdRanges) -> None:
        """Resume a series from its snapshot; what is known of it already is kept.

        Args:
            changed: periods whose rows were not written yet.
        """
        known = self._accounts.get(account.series)
        if known is not None:
            self._change(account.series, known.merge(account))
        else:
            account.max_ranges = self._max_ranges
            self._accounts[account.series] = account
        self._change(account.series, changed)

    def _change(self, series: LedgerSeries, periods: IdRanges) -> None:
        if periods:
            self._changed.setdefault(series, IdRanges()).update(periods)


def _entry(message: LedgerMessage) -> str:
    """What an account makes of an event: its kind, but for a bar that its trades contradict, or no more.

    Other revised bars are right as they are stored: a late trade went into one that we build.
    """
    detail = message["detail"] or ""
    if message["kind"] == "revised" and message["stream"] == "klines":
        if detail.startswith(TRADES_SAY):
            return "different"
        if detail.startswith(AS_TRADES_SAY):
            return "corrected"
    return message["kind"]


def refusal(message: LedgerMessage) -> str | None:
    """Why a valid ledger message cannot be applied; None if it can."""
    if message["first"] > message["last"]:
        return f"range {message['first']}–{message['last']} ends before it begins"
    if message["first"] < 0:
        return f"range {message['first']}–{message['last']} begins below 0"
    if message["stream"] == "klines" and message["interval"] not in INTERVAL_MS:
        return f"interval {message['interval']!r} is not one of {', '.join(INTERVAL_MS)}"
    if message["stream"] != "klines" and message["interval"] is not None:
        return f"stream {message['stream']} has no interval, but the event names {message['interval']!r}"
    return None
