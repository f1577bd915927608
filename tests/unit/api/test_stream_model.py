"""The laws of the stream hold in any interleaving; and each turns red when what keeps it is broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from api.client import Client
from api.pending import Batch, Exact, Latest, Taken, Tape
from api.ring import Ring
from api.subscription import Subscription
from consumers.tap.port import LiveRow
from tests.unit.api.stream_model import StreamMachine
from tests.unit.api.stream_scenarios import SCENARIOS, play

TestStream = pytest.mark.thorough(StreamMachine.TestCase)
TestStream.settings = settings(
    max_examples=200, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
# For what the scenarios do not reach; what is found need not be made small.
_HUNT: Final = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)
Patch = pytest.MonkeyPatch


def resume_by_cursor_begins_at_the_end(patch: Patch) -> None:
    patch.setattr(Ring, "first_from", lambda self, offset: self.next_number)


def resume_reads_no_older_records(patch: Patch) -> None:
    fetched = Subscription.fetched

    def without_rows(self: Subscription, rows: Any, reason: str, before: int) -> None:
        fetched(self, (), reason, before)

    patch.setattr(Subscription, "fetched", without_rows)


def fetched_rows_overlap_what_comes(patch: Patch) -> None:
    fetched = Subscription.fetched

    def with_all(self: Subscription, rows: tuple[LiveRow, ...] | None, reason: str, before: int) -> None:
        fetched(self, rows, reason, 2**62)

    patch.setattr(Subscription, "fetched", with_all)


def epochs_are_not_compared(patch: Patch) -> None:
    patch.setattr("api.subscription.why_not_from", lambda cursor, source: None)


def rows_below_a_cursor_ahead_are_sent(patch: Patch) -> None:
    patch.setattr(Batch, "since", lambda self, offset: self)


def a_restart_is_not_told(patch: Patch) -> None:
    restart = Subscription.restart

    def silently(self: Subscription, reason: str) -> None:
        self._holds_rows = False
        restart(self, reason)

    patch.setattr(Subscription, "restart", silently)


def skipped_trades_are_not_counted(patch: Patch) -> None:
    push = Tape.push

    def uncounted(self: Tape, batch: Batch) -> int:
        push(self, batch)
        return 0

    patch.setattr(Tape, "push", uncounted)


def the_oldest_wins(patch: Patch) -> None:
    push = Latest.push
    patch.setattr(
        Latest, "push", lambda self, batch: 0 if batch.identity in self._batches else push(self, batch)
    )


def credits_are_ignored(patch: Patch) -> None:
    patch.setattr(Client, "due_ms", property(lambda self: self._due_ms if self._noted else None))


def rows_that_come_during_the_snapshot_are_dropped(patch: Patch) -> None:
    push = Subscription.push

    def seamed(self: Subscription, batch: Batch) -> None:
        if not self._joins:
            push(self, batch)

    patch.setattr(Subscription, "push", seamed)


def the_snapshot_includes_what_comes_later(patch: Patch) -> None:
    rows = Ring.rows
    patch.setattr(Ring, "rows", lambda self, first, end: rows(self, first, self.next_number))


def a_snapshot_that_the_ring_dropped_goes_on(patch: Patch) -> None:
    patch.setattr(Subscription, "_pass_gone", lambda self: None)


def a_backlog_loses_its_oldest(patch: Patch) -> None:
    push = Exact.push

    def bounded(self: Exact, batch: Batch) -> int:
        push(self, batch)
        if type(self) is Exact:
            self.skip(max(0, self.rows - 3))
        return 0

    patch.setattr(Exact, "push", bounded)


def a_cursor_is_given_in_the_middle_of_a_snapshot(patch: Patch) -> None:
    sent = Subscription._sent

    def early(self: Subscription, taken: Taken) -> None:
        joins, self._joins = self._joins, type(self._joins)()
        if taken.cursor is None and joins:
            taken.cursor = self._joined_at
        sent(self, taken)
        self._joins = joins

    patch.setattr(Subscription, "_sent", early)


def memory_is_not_bounded(patch: Patch) -> None:
    patch.setattr(Subscription, "bound", lambda self: None)


def frames_have_no_bound(patch: Patch) -> None:
    def unbounded(self: Taken, fragment: bytes, event_ms: int) -> bool:
        self.fragments.append(fragment)
        self.newest_ms = event_ms
        return True

    patch.setattr(Taken, "add", unbounded)


MUTANTS: Final[list[Callable[[Patch], None]]] = [
    resume_by_cursor_begins_at_the_end,
    resume_reads_no_older_records,
    fetched_rows_overlap_what_comes,
    epochs_are_not_compared,
    rows_below_a_cursor_ahead_are_sent,
    a_restart_is_not_told,
    skipped_trades_are_not_counted,
    the_oldest_wins,
    credits_are_ignored,
    rows_that_come_during_the_snapshot_are_dropped,
    the_snapshot_includes_what_comes_later,
    a_snapshot_that_the_ring_dropped_goes_on,
    a_backlog_loses_its_oldest,
    a_cursor_is_given_in_the_middle_of_a_snapshot,
    memory_is_not_bounded,
    frames_have_no_bound,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_broken_stream_is_found(mutant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        for scenario in SCENARIOS:
            play(scenario)
        run_state_machine_as_test(StreamMachine, settings=_HUNT)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_laws_hold_when(scenario: Callable[[StreamMachine], None]) -> None:
    play(scenario)
