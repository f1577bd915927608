"""All errors of CryptoStream, as one tree.

    CryptoStreamError                exit 1
    ├── NothingFound                 what was asked for is not there
    ├── UsageError                   exit 2: wrong command line
    │   └── QueryRefused             exit 2: SQL that cannot be answered
    ├── SettingsError                exit 2: wrong setting
    ├── InvalidMessage               a record that breaks its contract; goes to the dead letters
    │   ├── TimeAhead                its time lies beyond the exchange's clock, or beyond its arrival
    │   └── TimeBehind               its time lies long before its event's time
    ├── ExchangeError                the exchange rejects or does not answer a request
    │   ├── UnknownSymbol            exit 2
    │   ├── ExchangeUnavailable      transient: try again after ``retry_after`` seconds
    │   │   ├── ExchangeBlocked      by one host's firewall; other hosts may answer
    │   │   └── ExchangeUnreadable   all rows of the answer break their contract, or contradict what is known
    │   ├── ExchangeRefused          permanent: location, ban, wrong request
    │   └── SlotOver                 not requested: the answer would belong to a later snapshot slot
    ├── ExchangeFailed               the simulated exchange of a command did not start
    ├── BrokerError                  Kafka rejects or does not answer a request
    │   ├── BrokerUnavailable        transient
    │   └── MemberFenced             another member has taken its `group.instance.id`: a new client may rejoin
    ├── StoreError
    │   ├── StoreUnavailable         transient: nothing is lost, try again after ``retry_after`` seconds
    │   ├── StoreMisconfigured       fatal: wrong URL, token, organisation or bucket
    │   └── PointsRejected           these points can never be stored; all others are
    ├── RecordingError               exit 2: a file that is not a recording
    ├── EngineUnavailable            Kafka or InfluxDB for a run is neither installed nor can be fetched
    ├── BrokenRow                    a row of a snapshot breaks its contract by our own fault
    ├── LandingUnavailable           transient: rows wait in the spool
    ├── LandingMisconfigured         exit 2: wrong location, account or key of the object storage
    ├── Conflict                     another writer was faster: read, merge and write again
    ├── WarehouseError               transient: nothing was written; rows wait in the spool
    │   └── WarehouseMisconfigured   exit 2: wrong account, user, key or table
    ├── AlertNotSent                 transient: the next run tries again
    ├── ServerFailed                 the Prefect server of this command did not start
    ├── ServerUnavailable            the Prefect server does not answer, or rejects our credentials
    ├── RegistryFailed               a registry does not return an image's digest
    └── Problem                      an answer of the API other than the one asked for, with its status

An error raised by one package alone is defined there. Users see the message: one line with the thing, its
value and the way out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.shortened import quoted, sanitized


class CryptoStreamError(Exception):
    """Base of all errors; ``exit_code`` is the command's exit status (DESIGN §4.5).

    Messages go to terminals, logs, the ledger and dead letters: they are `sanitized`.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(sanitized(message))


class NothingFound(CryptoStreamError):
    """Every command that reads ends with exit code 1 if nothing is there of what was asked for."""


class UsageError(CryptoStreamError):
    exit_code = 2


class SettingsError(CryptoStreamError):
    """
    Attributes:
        faults: one line for each wrong setting.
    """

    exit_code = 2

    def __init__(self, *faults: str) -> None:
        self.faults = tuple(map(sanitized, faults))
        super().__init__("; ".join(faults))


class InvalidMessage(CryptoStreamError):
    """A message breaks its contract.

    Attributes:
        field: name of the first field that is wrong, as in DESIGN §4.2.

    Args:
        expected: what the value should be; "" if the field is missing.
    """

    def __init__(self, field: str, value: object = None, expected: str = "") -> None:
        super().__init__(f"{field}: {f'{quoted(value)} is not {expected}' if expected else 'missing'}")
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
    """The answer has rows, and all break their contract, or contradict what is known: it may stay so."""


class ExchangeRefused(ExchangeError):
    pass


class BrokerError(CryptoStreamError):
    pass


class BrokerUnavailable(BrokerError):
    pass


class MemberFenced(BrokerError):
    """
    Attributes:
        instance_id: `group.instance.id` of the member. reason: the broker's words.
    """

    def __init__(self, instance_id: str, reason: str) -> None:
        super().__init__(
            f"group member {instance_id} was fenced: another member joined by its name ({reason})"
        )
        self.instance_id = instance_id
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
        expired: points of the same call that are older than their bucket's expiry, and not stored either.
    """

    def __init__(self, rejected: Sequence[tuple[Any, str]], expired: Sequence[Any] = ()) -> None:
        super().__init__(f"{len(rejected)} points rejected by the store, the first because: {rejected[0][1]}")
        self.rejected = tuple(rejected)
        self.expired = tuple(expired)


class RecordingError(CryptoStreamError):
    exit_code = 2
