"""From when until when each series was followed, by the events of the ledger. Pure.

Outside of that time nothing is expected of a series, so that a count of zero says nothing.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from consumers.completeness import CompletenessLedger
from consumers.ledger_account import SETS, Account
from shared.ledger import LedgerSeries

_EVER: Final = (-(2**63), 2**63 - 1)


class Followed(NamedTuple):
    """A span of the exchange's time in ms; None for an open end, or one that is not known any more."""

    from_ms: int | None
    to_ms: int | None


def followed(ledger: CompletenessLedger, as_of_ms: int | None) -> dict[LedgerSeries, Followed]:
    """When each series was followed; without series of which no id has a time.

    The end is when its producer stopped in good order or became silent, else the time of the report.
    """
    silent = ledger.silent_since()
    found = {}
    for series in ledger.series():
        account = ledger.account(series)
        if _is_dated(account):
            stopped_ms = account.stopped_ms
            to_ms = silent.get(series, as_of_ms) if stopped_ms is None else stopped_ms
            found[series] = Followed(_from_ms(account), to_ms)
    return found


def _is_dated(account: Account) -> bool:
    if account.series.stream == "trades":
        return account.dates.times_of(*_EVER) is not None
    return any(getattr(account, name) for name in SETS)


def _from_ms(account: Account) -> int | None:
    if account.series.stream == "trades":
        times = account.dates.times_of(*_EVER)
        return None if times is None else times[0]
    if account.totals().expected > account.expected.id_count():
        return None  # the first ones were rolled up, without their times
    firsts = [first for name in SETS for first, _ in list(getattr(account, name))[:1]]
    return int(min(firsts)) * account.series.unit
