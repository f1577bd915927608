"""Runs checks concurrently, each with a time limit; their findings."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from shared.edges import in_words
from shared.errors import CryptoStreamError
from shared.shortened import bounded
from shared.shown import masked

# A healthy part answers within a second, and the slowest check holds up the whole report.
LIMIT_S: Final = 12.0

Status = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    """One line of the doctor's report.

    Attributes:
        detail: what was seen.
        fix: what to do; empty if nothing is wrong.
    """

    check: str
    status: Status
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A check that may wait for servers; independent of the others.

    Attributes:
        name: the first column of the report if the check fails or times out.
        run: returns findings; a CryptoStreamError is a failed check.
    """

    name: str
    run: Callable[[], Sequence[Finding]]


def run_checks(checks: Sequence[Check], limit_s: float = LIMIT_S) -> list[Finding]:
    """Findings of all checks, in their order; a check that does not end in `limit_s` has failed."""
    # Daemon threads: a hanging name resolution or socket must not keep the process alive.
    running = [_Running(check) for check in checks]
    for one in running:
        one.start()
    deadline = time.monotonic() + limit_s
    for one in running:
        one.join(max(deadline - time.monotonic(), 0.0))
    return [finding for one in running for finding in one.findings(limit_s)]


def failed(name: str, error: CryptoStreamError | str) -> Finding:
    """A failed check; the text behind the error's last semicolon is the fix."""
    detail, _, fix = str(error).rpartition("; ")
    return Finding(name, "fail", detail or fix, fix if detail else "")


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
            self._found = [failed(name, error)]
        except Exception as error:  # noqa: BLE001 - a check that breaks is a finding, not the end of the others
            words = bounded(in_words(error) or f"unexpected {type(error).__name__}: {error}")
            self._found = [failed(name, masked(words))]

    def findings(self, limit_s: float) -> Sequence[Finding]:
        if self._found is not None:
            return self._found
        return [
            Finding(self._check.name, "fail", f"no answer within {limit_s:g} s", "see network and firewall")
        ]
