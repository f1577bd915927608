"""Request weights: a counter for each calendar minute and address, refusals and bans.

Source: BINANCE_SPOT.md §7.5, §7.6. The number of refused requests before a ban is this simulator's choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LIMIT_PER_MINUTE: Final = 6_000
_MINUTE_MS: Final = 60_000
_IGNORED_BEFORE_BAN: Final = 10
_FIRST_BAN_MS: Final = 2 * _MINUTE_MS
_LONGEST_BAN_MS: Final = 3 * 24 * 60 * _MINUTE_MS
# Addresses remembered; a server on localhost has one or two clients.
_MOST_ADDRESSES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Granted:
    used_weight: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A request beyond the limit.

    Attributes:
        status: 429, or 418 while the address is banned.
        retry_after_s: whole seconds until another try makes sense.
        banned_until_ms: wall-clock end of the ban; None with 429.
    """

    status: int
    retry_after_s: int
    used_weight: int
    banned_until_ms: int | None = None


@dataclass(slots=True)
class _Account:
    minute: int = -1
    used: int = 0
    ignored: int = 0
    bans: int = 0
    banned_until_ms: int = 0


class WeightCounter:
    """Counts weights by client address. Times are those of the wall clock, in ms."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def charge(self, address: str, weight: int, now_ms: int) -> Granted | Refused:
        """Charge one request, before it is answered."""
        if len(self._accounts) >= _MOST_ADDRESSES and address not in self._accounts:
            del self._accounts[next(iter(self._accounts))]
        account = self._accounts.setdefault(address, _Account())
        minute = now_ms // _MINUTE_MS
        if minute != account.minute:
            account.minute, account.used, account.ignored = minute, 0, 0
        if now_ms < account.banned_until_ms:
            return self._banned(account, now_ms)
        account.used += weight
        if account.used <= LIMIT_PER_MINUTE:
            return Granted(account.used)
        account.ignored += 1
        if account.ignored > _IGNORED_BEFORE_BAN:
            length = min(_FIRST_BAN_MS << min(account.bans, 20), _LONGEST_BAN_MS)
            account.bans += 1
            account.banned_until_ms = now_ms + length
            return self._banned(account, now_ms)
        return Refused(429, (_MINUTE_MS - now_ms % _MINUTE_MS + 999) // 1000, account.used)

    def _banned(self, account: _Account, now_ms: int) -> Refused:
        until_ms = account.banned_until_ms
        return Refused(418, -(-(until_ms - now_ms) // 1000), account.used, until_ms)


def refusal_body(banned_until_ms: int | None) -> dict[str, object]:
    """Body of a 429 (None) or a 418."""
    if banned_until_ms is None:
        text = f"Too much request weight used; current limit is {LIMIT_PER_MINUTE} request weight per 1"
        text += " MINUTE. Please use WebSocket Streams for live updates to avoid polling the API."
    else:
        text = f"Way too much request weight used; IP banned until {banned_until_ms}. "
        text += "Please use WebSocket Streams for live updates to avoid bans."
    return {"code": -1003, "msg": text}
