"""What a check found, and how checks are run: side by side, each with a time limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from shared.edges import in_words
from shared.errors import CryptoStreamError
from shared.masking import masked
from shared.shortened import bounded

# An answer takes a second at most where all is well; a person waits for all checks at once.
LIMIT_S: Final = 12.0

Status = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    """One line of the doctor's report.

    Attributes:
        detail: what was seen.
        mend: how to mend it; empty if there is nothing to mend.
    """

    check: str
    status: Status
    detail: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A check that may take its time; it needs no other's outcome.

    Attributes:
        name: the first column of what it finds, unless its findings say otherwise.
        run: returns findings; a CryptoStreamError is a failed check.
    """

    name: str
    run: Callable[[], Sequence[Finding]]


def run_checks(checks: Sequence[Check], limit_s: float = LIMIT_S) -> list[Finding]:
    """Findings of all checks, in their order; one that does not end in `limit_s` has failed."""
    # Daemons: what hangs in a name resolution or a socket must not hold the process.
    running = [_Running(check) for check in checks]
    for one in running:
        one.start()
    deadline = time.monotonic() + limit_s
    for one in running:
        one.join(max(deadline - time.monotonic(), 0.0))
    return [finding for one in running for finding in one.findings(limit_s)]


def broken(name: str, error: CryptoStreamError) -> Finding:
    """A failed check; our errors name the thing first and the way out behind the last semicolon."""
    detail, _, mend = str(error).rpartition("; ")
    return Finding(name, "fail", detail or mend, mend if detail else "")


class _Running(threading.Thread):
    def __init__(self, check: Check) -> None:
        super().__init__(name=f"doctor-{check.name}", daemon=True)
        self._check = check
        self._found: Sequence[Finding] | None = None

    def run(self) -> None:
        name = self._check.name
        try:
            self._found = self._check.run()
        except CryptoStreamError as error:
            self._found = [broken(name, error)]
        except Exception as error:  # noqa: BLE001 - a check that breaks is a finding, not the end of the others
            words = bounded(in_words(error) or f"unexpected {type(error).__name__}: {error}")
            detail, _, mend = masked(words).rpartition("; ")
            self._found = [Finding(name, "fail", detail or mend, mend if detail else "")]

    def findings(self, limit_s: float) -> Sequence[Finding]:
        if self._found is not None:
            return self._found
        return [
            Finding(self._check.name, "fail", f"no answer within {limit_s:g} s", "see network and firewall")
        ]
