"""All errors of CryptoStream, as one tree.

    CryptoStreamError                exit 1
    ├── UsageError                   exit 2: wrong command line
    ├── SettingsError                exit 2: wrong setting
    ├── InvalidMessage               a record that breaks its contract; goes to the dead letters
    ├── ExchangeError                the exchange cannot be used as asked
    │   ├── UnknownSymbol            exit 2
    │   ├── ExchangeUnavailable      transient: try again after ``retry_after`` seconds
    │   │   └── ExchangeBlocked      by one host's firewall; other hosts may answer
    │   └── ExchangeRefused          permanent: place, ban, wrong request
    ├── BrokerError                  Kafka cannot be used as asked
    │   ├── BrokerUnavailable        transient
    │   └── SlotTaken                a member's slot in its group is another's: a new client may join again
    ├── StoreError
    │   ├── StoreUnavailable         transient: nothing is lost, try again after ``retry_after`` seconds
    │   ├── StoreMisconfigured       fatal: wrong URL, token, organisation or bucket
    │   └── PointsRejected           these points can never be stored; all others are
    └── RecordingError               exit 2: a file that is not a recording

Every message names the thing, its value and the way out, in one line: it is what the user sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.masking import masked
from shared.shortened import bounded, quoted
from shared.shown import shown


class CryptoStreamError(Exception):
    """Base of all errors; ``exit_code`` is the command's exit status (DESIGN §4.5).

    Messages go to terminals, logs, the ledger and dead letters: a URL's password is masked in all of them,
    and what they quote can neither steer a terminal nor begin a line, nor be as long as it likes.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(bounded(shown(masked(message))))


class UsageError(CryptoStreamError):
    exit_code = 2


class SettingsError(CryptoStreamError):
    """
    Attributes:
        faults: one line for each wrong setting.
    """

    exit_code = 2

    def __init__(self, *faults: str) -> None:
        self.faults = tuple(bounded(shown(masked(fault))) for fault in faults)
        super().__init__("; ".join(faults))


class InvalidMessage(CryptoStreamError):
    """A message breaks its contract.

    Attributes:
        field: name of the first field that is wrong, as in DESIGN §4.2.
    """

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field}: {quoted(value)} is not {expected}")
        self.field = field


class ExchangeError(CryptoStreamError):
    pass


class UnknownSymbol(ExchangeError):
    exit_code = 2


class ExchangeUnavailable(ExchangeError):
    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ExchangeBlocked(ExchangeUnavailable):
    pass


class ExchangeUnreadable(ExchangeUnavailable):
    """It answered with rows, and not one of them keeps its contract."""


class ExchangeRefused(ExchangeError):
    pass


class BrokerError(CryptoStreamError):
    pass


class BrokerUnavailable(BrokerError):
    pass


class SlotTaken(BrokerError):
    """
    Attributes:
        slot: `group.instance.id` of the member. reason: the broker's words.
    """

    def __init__(self, slot: str, reason: str) -> None:
        super().__init__(f"the broker has given the slot {slot} to another member ({reason})")
        self.slot = slot
        self.reason = reason


class StoreError(CryptoStreamError):
    pass


class StoreUnavailable(StoreError):
    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreMisconfigured(StoreError):
    pass


class PointsRejected(StoreError):
    """Some points can never be stored; every other point of the same call is stored.

    Attributes:
        rejected: (point, the store's reason), in the order of the call.
        expired: points of the same call that are older than their bucket keeps, and not stored either.
    """

    def __init__(self, rejected: Sequence[tuple[Any, str]], expired: Sequence[Any] = ()) -> None:
        super().__init__(f"{len(rejected)} points rejected by the store, the first because: {rejected[0][1]}")
        self.rejected = tuple(rejected)
        self.expired = tuple(expired)


class RecordingError(CryptoStreamError):
    exit_code = 2
