"""The completeness ledger: sets of id ranges per series, and from them what is lost (DESIGN §5.3).

Pure. Fed with the messages of `pipeline.ledger`, in any order, any number of times: applying a range twice
changes nothing. Kline ids are `open_time_ms // interval_ms`; trade ids are the exchange's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from consumers.ledger_account import MAX_RANGES, SETS, Account, MinuteRow, Totals, slot_ms
from consumers.ledger_events import LedgerSeries
from shared.id_ranges import IdRanges
from shared.intervals import INTERVAL_MS
from shared.messages import LedgerMessage

__all__ = ["KINDS_OF_TIMES", "MAX_RANGES", "CompletenessLedger", "MinuteRow", "Totals", "refusal", "slot_ms"]

# A bar is expected by the exchange's clock so long after its end: producers say within seconds that it is
# there, or that it is missing.
CLOCK_GRACE_MS: Final = 60_000
COUNTED_STREAMS: Final = frozenset(("klines", "trades"))
# About a span of time, not of ids: it changes no set.
KINDS_OF_TIMES: Final = frozenset(("uncarried", "stopped"))


class CompletenessLedger:
    """All series of a deployment.

    Bounded: where a set of a series has more than `max_ranges` ranges, its older half is settled: counted
    into the totals and forgotten, and later events about those ids are ignored.
    """

    def __init__(self, max_ranges: int = MAX_RANGES) -> None:
        self._max_ranges = max_ranges
        self._accounts: dict[LedgerSeries, Account] = {}
        self._changed: dict[LedgerSeries, IdRanges] = {}

    def receive(self, message: LedgerMessage) -> str | None:
        """Enter an event; the reason if it makes no sense and was left out."""
        reason = refusal(message)
        if reason is not None or message["stream"] not in COUNTED_STREAMS:
            return reason
        if message["kind"] == "uncarried":
            return None
        interval = message["interval"] or ""
        series = LedgerSeries(message["exchange"], message["symbol"], message["stream"], interval)
        account = self._accounts.get(series)
        if account is None:
            account = self._accounts[series] = Account(series, self._max_ranges)
        first, last = message["first"] // series.unit, message["last"] // series.unit
        self._change(series, account.enter(message["kind"], first, last, message["event_time_ms"]))
        return None

    def expect_by_clock(self, now_ms: int) -> list[LedgerSeries]:
        """Expect every bar that is closed at the exchange by now, whether or not its producer lives.

        Args:
            now_ms: the exchange's time, by records of the deployment.

        Returns:
            Series that have become longer by this.
        """
        longer = []
        for series, account in self._accounts.items():
            if series.stream == "klines":
                slots = account.expect_to((now_ms - CLOCK_GRACE_MS) // series.unit - 1)
                if slots:
                    self._change(series, slots)
                    longer.append(series)
        return longer

    def silent_since(self) -> dict[LedgerSeries, int]:
        """Series whose producer says nothing any more, by the exchange's time at which that began.

        It shows by its bars: of trades nobody can know whether there were any. A producer that has ended in
        good order is not silent.
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
        """Slots (`slot_ms`) whose rows may have changed since the last call."""
        changed, self._changed = self._changed, {}
        return changed

    def rows(self, series: LedgerSeries, slots: Iterable[int]) -> Iterator[tuple[int, MinuteRow]]:
        """Minutes (their begin in ms) and their rows. Ids on their way to the store count as lost until it
        has them."""
        account = self._accounts.get(series)
        if account is not None:
            for slot in slots:
                row = account.row(slot)
                if row is not None:
                    yield row

    def forget(self, series: LedgerSeries) -> None:
        """Drop a series that another consumer counts now."""
        self._accounts.pop(series, None)
        self._changed.pop(series, None)

    def account(self, series: LedgerSeries) -> Account:
        """A series, not to be changed. Raises KeyError if it is not known."""
        return self._accounts[series]

    def series(self) -> list[LedgerSeries]:
        """All that are counted."""
        return list(self._accounts)

    def __contains__(self, series: object) -> bool:
        return series in self._accounts

    def ranges(self, series: LedgerSeries) -> dict[str, IdRanges]:
        """A series' sets, not to be changed: expected, stored, repaired, halted, offline, duplicates.

        What is settled is no longer in them.
        """
        account = self._accounts[series]
        return {name: getattr(account, name) for name in SETS}

    def totals(self) -> dict[LedgerSeries, Totals]:
        return {series: account.totals() for series, account in self._accounts.items()}

    def restore(self, account: Account, changed: IdRanges) -> None:
        """Go on with a series from where a snapshot of it was taken.

        Args:
            changed: slots whose rows had changed then.
        """
        account.max_ranges = self._max_ranges
        self._accounts[account.series] = account
        self._change(account.series, changed)

    def _change(self, series: LedgerSeries, slots: IdRanges) -> None:
        if slots:
            self._changed.setdefault(series, IdRanges()).update(slots)


def refusal(message: LedgerMessage) -> str | None:
    """Why a ledger message that is right in form cannot be applied; None if it can."""
    if message["first"] > message["last"]:
        return f"range {message['first']}–{message['last']} ends before it begins"
    if message["first"] < 0:
        return f"range {message['first']}–{message['last']} begins below 0"
    if message["stream"] == "klines" and message["interval"] not in INTERVAL_MS:
        return f"interval {message['interval']!r} is not one of {', '.join(INTERVAL_MS)}"
    if message["stream"] != "klines" and message["interval"] is not None:
        return f"stream {message['stream']} has no interval, but the event names {message['interval']!r}"
    return None
