"""Replays dead letters in steps; a kill between them repeats work and never skips it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Final, NamedTuple

from consumers.measurements import Point
from consumers.stores.port import Reader, Row, Store
from cryptostream.dead_letters.classify import Classifier
from cryptostream.dead_letters.dead_letter_topic import DeadLetter, Known
from cryptostream.dead_letters.outcomes import Obsolete, Outcome, Republish, StillBroken, StorePoint
from cryptostream.dead_letters.replay_marks import ReplayMark, encode_mark, mark_key
from cryptostream.dead_letters.stored_versions import hindrance, never_changes
from producers.publisher import Publisher
from shared.errors import PointsRejected, StoreMisconfigured
from shared.messages import LedgerMessage, encode, message_key
from shared.topics import LEDGER, PROGRESS

# A batch is classified, published and marked within a second.
BATCH: Final = 500
_DELIVERY_S: Final = 30.0


class Done(NamedTuple):
    """A dead letter and its outcome."""

    letter: DeadLetter
    outcome: Outcome


class Replay:
    """Classifies dead letters and publishes or stores those that pass.

    Args:
        known: letters that were replayed before, and the numberings of trade ids.
        first_readable: by partition, the offset of its oldest dead letter.
        open_store: called when the first point is to be stored.
        open_reader: called after it, when the first of them may have changed since.
    """

    def __init__(
        self,
        publisher: Publisher,
        known: Known,
        first_readable: Mapping[int, int],
        *,
        open_store: Callable[[], Store],
        open_reader: Callable[[], Reader],
    ) -> None:
        self._publisher = publisher
        self._replayed = dict(known.replayed)
        self._first_readable = first_readable
        self._open_store = open_store
        self._store: Store | None = None
        self._open_reader = open_reader
        self._reader: Reader | None = None
        self._classifier = Classifier(known.numberings)

    def close(self) -> None:
        for port in (self._store, self._reader):
            if port is not None:
                port.close()

    def run(self, letters: Iterable[DeadLetter]) -> Iterator[Done]:
        """Replay in batches; yields each dead letter with its outcome.

        Raises:
            BrokerError, StoreError: the batch is not marked, and the next call replays it again.
        """
        rest = iter(letters)
        while batch := list(islice(rest, BATCH)):
            now_ms = time.time_ns() // 1_000_000
            done = [Done(letter, self._classifier.classify(letter, now_ms)) for letter in batch]
            # 1. The messages are published and acknowledged, the points stored.
            done = [self._apply(letter, outcome, now_ms) for letter, outcome in done]
            self._publisher.flush_now(_DELIVERY_S)
            # 2. The ledger has their events.
            self._publish_events(
                [
                    event
                    for _, outcome in done
                    if isinstance(outcome, Republish | StorePoint)
                    for event in outcome.events
                ]
            )
            # 3. Only now they are marked; a kill before this line repeats them, harmless by identity.
            self._mark([letter for letter, outcome in done if not isinstance(outcome, StillBroken)], now_ms)
            yield from done

    def _apply(self, letter: DeadLetter, outcome: Outcome, now_ms: int) -> Done:
        match outcome:
            case Republish(topic, key, value, _, more):
                for record in ((topic, key, value), *more):
                    self._publisher.send(*record)
            case StorePoint(point, _):
                return Done(letter, self._write(point, now_ms) or outcome)
        return Done(letter, outcome)

    def _write(self, point: Point, now_ms: int) -> Obsolete | StillBroken | None:
        """Write a point; why it is not, if so."""
        store = self._store = self._store or self._open_store()
        if not never_changes(point):
            try:
                stored = self._stored(point)
            except StoreMisconfigured as error:  # as a token that may write only
                return StillBroken(f"whether the store has a newer one cannot be read: {error}")
            hindered = hindrance(point, stored, now_ms)
            if hindered is not None:
                return hindered
        expired = store.expired
        try:
            store.write([point])
        except PointsRejected as error:
            return StillBroken(error.rejected[0][1])
        return Obsolete("older than its bucket keeps") if store.expired > expired else None

    def _stored(self, point: Point) -> Row | None:
        """What the store has at the point's identity; None if nothing."""
        reader = self._reader = self._reader or self._open_reader()
        measurement, tags = point.series.measurement, point.series.tags
        named = dict(zip(measurement.tags, tags, strict=True))
        rows = reader.read(measurement.name, named, from_ns=point.time_ns, to_ns=point.time_ns + 1)
        return next(iter(rows), None)

    def _publish_events(self, events: Sequence[LedgerMessage]) -> None:
        for event in events:
            self._publisher.send(LEDGER, message_key(event["exchange"], event["symbol"]), encode(event))
        self._publisher.flush_now(_DELIVERY_S)

    def _mark(self, letters: Sequence[DeadLetter], now_ms: int) -> None:
        for partition, those in groupby(
            sorted(letters, key=lambda letter: letter.position), lambda letter: letter.position.partition
        ):
            known = self._replayed.get(partition, ReplayMark())
            mark = known.including((letter.position.offset, letter.time_ms) for letter in those)
            self._replayed[partition] = mark
            value = encode_mark(mark, self._first_readable.get(partition, 0), now_ms)
            self._publisher.send(PROGRESS, mark_key(partition), value)
        self._publisher.flush_now(_DELIVERY_S)
