"""Follows the records of the keys that somebody views; all others are passed over undecoded."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message

from consumers.marks import as_bytes
from consumers.tap.fill import Filling
from consumers.tap.follower import source_of
from consumers.tap.kafka import ANSWER_S, Incarnations
from consumers.tap.port import Arrived, Event, Filled
from consumers.tap.reading import PartitionReader
from consumers.tap.records import KeyTap, RawRecord
from shared.errors import BrokerUnavailable, StoreUnavailable
from shared.kafka_reader import PartitionId, watermarks

log: Final = logging.getLogger(__name__)

# Records of one key that wait for its fill; beyond them the fill begins anew.
_MAX_WAITING: Final = 20_000
_MAX_WAITING_BYTES: Final = 16 * 2**20
_AGAIN_S: Final = 1.0

# Fills a key from its topics. Raises BrokerUnavailable, StoreUnavailable: to be tried again.
Fill = Callable[[PartitionReader, bytes], Filling]
# Takes back what a fill has left elsewhere, once its key is dropped.
Forget = Callable[[bytes], None]
# Runs a reading job for a key in a pool, with a reader of its own, unless nobody wants it any more by then;
# false: there is no room at present.
RunJob = Callable[[bytes, Incarnations, Callable[[PartitionReader], None], Callable[[], bool]], bool]


@dataclass(slots=True)
class _Key:
    """A key that is followed.

    Attributes:
        attempt: number of the fill under way; answers of earlier ones are void.
        tap: None while it is being filled.
        ends: offsets that records must have, by partition; earlier ones are in the fill.
        waiting: records that came during the fill.
        again_s: when to fill, by the monotonic clock; None while a fill is under way, or done.
    """

    attempt: int = 0
    tap: KeyTap | None = None
    ends: Mapping[PartitionId, int] = field(default_factory=dict)
    waiting: list[RawRecord] = field(default_factory=list)
    waiting_bytes: int = 0
    again_s: float | None = 0.0


class KeyedWork:
    """Work of one source whose records have instruments as keys.

    Args:
        fill: makes a key's tap. run_job: runs it beside the follower.
        forget: called when a key is dropped, and again if a fill of it ends later.
    """

    def __init__(
        self,
        topics: tuple[str, ...],
        names: tuple[str, ...],
        fill: Fill,
        run_job: RunJob,
        forget: Forget,
        *,
        memory_broker: bool,
    ) -> None:
        self.topics = topics
        self.names = names
        self._fill = fill
        self._run_job = run_job
        self._forget = forget
        self._memory_broker = memory_broker
        self._incarnations: Incarnations = {}
        self._keys: dict[bytes, _Key] = {}
        self._attempts = 0
        # Keys, and whether they are to be followed.
        self._asked: queue.SimpleQueue[tuple[bytes, bool]] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[bytes, int, Filling | None]] = queue.SimpleQueue()

    def activate(self, key: bytes) -> None:
        """Follow a key; called from any thread, once or more."""
        self._asked.put((key, True))

    def drop(self, key: bytes) -> None:
        """Follow a key no more; called from any thread."""
        self._asked.put((key, False))

    def begin(self, consumer: Consumer, incarnations: Incarnations) -> Mapping[PartitionId, int]:
        self._incarnations = incarnations
        for followed in self._keys.values():
            self._start_over(followed)
        places = [
            (topic, number) for topic in self.topics for number in range(incarnations[topic].partitions)
        ]
        if self._memory_broker:
            # Its ends are not reliable; what is passed over costs little.
            return dict.fromkeys(places, OFFSET_BEGINNING)
        return {
            at: watermarks(consumer, at, _unknown_end(at), within_s=ANSWER_S, patient=True)[1]
            for at in places
        }

    def receive(self, messages: Sequence[Message]) -> list[Event]:
        self._take_asked()
        events = self._take_done()
        batches: dict[bytes, list[RawRecord]] = {}
        keys = self._keys
        for message in messages:
            key: Any = message.key()
            if key in keys:
                record = RawRecord(
                    message.topic() or "",
                    message.partition() or 0,
                    message.offset() or 0,
                    as_bytes(message.value()),
                )
                batches.setdefault(key, []).append(record)
        for key, records in batches.items():
            followed = keys[key]
            if followed.tap is not None:
                events += self._arrived(followed, followed.tap, records)
            else:
                self._wait(followed, records)
        self._begin_fills()
        return events

    def stop(self) -> None:
        """Fills under way end by themselves, and nobody takes their results."""

    # -- fills -----------------------------------------------------------------------------------------

    def _take_asked(self) -> None:
        while not self._asked.empty():
            key, wanted = self._asked.get()
            if wanted:
                self._keys.setdefault(key, _Key())
            elif self._keys.pop(key, None) is not None:
                self._forget(key)

    def _begin_fills(self) -> None:
        now_s = time.monotonic()
        for key, followed in self._keys.items():
            if followed.again_s is None or now_s < followed.again_s:
                continue
            self._attempts += 1
            followed.attempt = attempt = self._attempts
            followed.again_s = None
            job = _FillJob(key, attempt, self._fill, self._done)
            if not self._run_job(key, self._incarnations, job, partial(self._is_wanted, key, attempt)):
                followed.again_s = now_s

    def _is_wanted(self, key: bytes, attempt: int) -> bool:
        """Whether a fill has not become void; called from any thread."""
        followed = self._keys.get(key)
        return followed is not None and followed.attempt == attempt and followed.again_s is None

    def _take_done(self) -> list[Event]:
        events: list[Event] = []
        while not self._done.empty():
            key, attempt, filling = self._done.get()
            followed = self._keys.get(key)
            if followed is None:
                self._forget(key)
                continue
            if attempt != followed.attempt or followed.again_s is not None:
                continue
            if filling is None:
                self._start_over(followed, after_s=_AGAIN_S)
                continue
            followed.tap, followed.ends = filling.tap, filling.ends
            events += [
                Filled(
                    filled.series,
                    None if filled.at is None else source_of(self._incarnations, filled.at),
                    filled.rows,
                    filled.low,
                    filled.end,
                    filled.holes,
                )
                for filled in filling.series
            ]
            waiting, followed.waiting, followed.waiting_bytes = followed.waiting, [], 0
            events += self._arrived(followed, filling.tap, waiting)
        return events

    def _start_over(self, followed: _Key, after_s: float = 0.0) -> None:
        followed.tap, followed.ends, followed.waiting, followed.waiting_bytes = None, {}, [], 0
        followed.again_s = time.monotonic() + after_s

    def _wait(self, followed: _Key, records: Sequence[RawRecord]) -> None:
        if followed.again_s is not None:
            return  # the fill to come reads them
        followed.waiting += records
        followed.waiting_bytes += sum(len(record.value or b"") for record in records)
        if len(followed.waiting) > _MAX_WAITING or followed.waiting_bytes > _MAX_WAITING_BYTES:
            self._start_over(followed)

    def _arrived(self, followed: _Key, tap: KeyTap, records: Sequence[RawRecord]) -> list[Event]:
        ends = followed.ends
        new = [record for record in records if record.offset >= ends.get((record.topic, record.partition), 0)]
        return [Arrived(*given) for given in tap.receive(new)] if new else []


class _FillJob:
    """Fills one key, in a thread of the pool."""

    def __init__(
        self,
        key: bytes,
        attempt: int,
        fill: Fill,
        done: queue.SimpleQueue[tuple[bytes, int, Filling | None]],
    ) -> None:
        self._key, self._attempt, self._fill, self._done = key, attempt, fill, done

    def __call__(self, reader: PartitionReader) -> None:
        filling: Filling | None = None
        try:
            filling = self._fill(reader, self._key)
        except (BrokerUnavailable, StoreUnavailable) as error:
            log.info("%s: not filled yet: %s", self._key.decode(errors="replace"), error)
        self._done.put((self._key, self._attempt, filling))


def _unknown_end(at: PartitionId) -> Callable[[str], str]:
    return lambda reason: f"{at[0]}: Kafka does not tell where it ends: {reason}"
