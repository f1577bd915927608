"""Bugs of consumers."""

from __future__ import annotations

from typing import Any

from consumers.checkpoint import FLUSH_TIMEOUT_S, Checkpoint, Positions
from consumers.enrich.klines import KlineEnricher
from consumers.enrich.port import Commit, StateRecord
from consumers.ledger_account import Account, MinuteRow, period_ms
from shared.id_ranges import IdRanges
from shared.messages import encode, message_key
from shared.topics import LEDGER


def commit_before_acknowledgement() -> None:
    """Offsets are committed while the ledger's events and the state are still on their way to Kafka."""

    def changed(self: Checkpoint, positions: Positions, now_ms: int, *, everything: bool = False) -> bool:
        for message in self.events.messages(now_ms):
            key = message_key(message["exchange"], message["symbol"])
            self._records.send(LEDGER, key, encode(message))
        self.events.clear()
        states = self._enricher.state_due(now_ms, everything=everything) if self._state_topic else []
        for state in states:
            self._records.send(str(self._state_topic), state.key, state.value, partition=state.partition)
        self._enricher.state_stored(states)
        accepted = [self._commit(topic, offsets) for topic, offsets in positions.items()]
        return self._records.flush(FLUSH_TIMEOUT_S) and all(accepted)

    Checkpoint.run = changed  # type: ignore[method-assign]


def state_one_bar_behind() -> None:
    """A snapshot says that it has the last bar, and has the state before it."""
    closed, state_due = KlineEnricher._closed, KlineEnricher.state_due
    behind: dict[tuple[KlineEnricher, bytes], Any] = {}

    def closing(self: KlineEnricher, key: bytes, *arguments: Any) -> None:
        if key in self._series:
            behind[self, key] = self._series[key].state
        closed(self, key, *arguments)

    def due(self: KlineEnricher, now_ms: int, *, everything: bool) -> list[StateRecord]:
        present = {key: series.state for key, series in self._series.items()}
        for key, series in self._series.items():
            series.state = behind.get((self, key), series.state)
        records = state_due(self, now_ms, everything=everything)
        for key, state in present.items():
            self._series[key].state = state
        return records

    KlineEnricher._closed = closing  # type: ignore[assignment, method-assign]
    KlineEnricher.state_due = due  # type: ignore[method-assign]


def watermark_off_by_one() -> None:
    """The committed offset is one beyond the last record that is stored."""
    committable = Checkpoint._committable

    def changed(self: Checkpoint, topic: str, partition: int, position: int) -> Commit:
        return committable(self, topic, partition, position + 1)

    Checkpoint._committable = changed  # type: ignore[method-assign]


def ledger_adds() -> None:
    """Ids that are stored twice count twice."""
    enter, row = Account.enter, Account.row
    added: dict[tuple[Account, int], int] = {}

    def entering(self: Account, kind: str, first: int, last: int, event_time_ms: int | None) -> IdRanges:
        again = self.stored.intersection_count(first, last) if kind == "stored" else 0
        periods = enter(self, kind, first, last, event_time_ms)
        if again and periods:
            place = self, next(iter(periods))[0]
            added[place] = added.get(place, 0) + again
        return periods

    def rowing(self: Account, period: int) -> tuple[int, MinuteRow] | None:
        found = row(self, period)
        if found is None:
            return None
        begin_ms, counts = found
        more = added.get((self, begin_ms // period_ms(self.series)), 0)
        return begin_ms, counts._replace(stored=counts.stored + more)

    Account.enter = entering  # type: ignore[method-assign]
    Account.row = rowing  # type: ignore[method-assign]
