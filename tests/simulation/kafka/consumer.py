"""The consumer: callbacks, records, offsets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from confluent_kafka import OFFSET_INVALID, KafkaError, TopicPartition

from tests.simulation.kafka.broker import Broker
from tests.simulation.kafka.fetching import Fetching
from tests.simulation.kafka.link import Link
from tests.simulation.kafka.membership import Change, Membership
from tests.simulation.kafka.messages import Message, error_of, failure
from tests.simulation.kafka.metadata import metadata_of
from tests.simulation.kafka.offsets import Offsets, at_of, seconds
from tests.simulation.kafka.protocol import Assigned

Rebalanced = Callable[["Consumer", list[TopicPartition]], None] | None

# For ever, as far as any test goes.
_EVER_S: Final = 1e9
# Of real closings, a quarter.
_SLOW_CLOSE: Final = 0.25


class Consumer:
    """With the calls of `confluent_kafka.Consumer` that our code makes."""

    def __init__(self, broker: Broker, config: dict[str, Any]) -> None:
        self._world = broker.world
        self._broker = broker
        group = str(config.get("group.id", ""))
        self._error_cb: Callable[[KafkaError], None] | None = config.get("error_cb")
        self._changes: deque[tuple[Change, Assigned]] = deque()
        self._notices: deque[Message] = deque()
        self._callbacks: dict[Change, Rebalanced] = {}
        self._fatal: KafkaError | None = None
        self._handled = False  # the application has (un)assigned in its callback
        self._closed = False
        self.link = Link(broker, self._connected, self._disconnected)
        self._fetching = Fetching(self.link, config, lambda at: broker.coordinator.committed(group, [at]))
        self._member = Membership(self.link, config, self._rebalanced, self._failed, self._complain)
        self._offsets = Offsets(self.link, self._member, config)

    # -- the group ---------------------------------------------------------------------------------------

    def subscribe(
        self,
        topics: Sequence[str],
        on_assign: Rebalanced = None,
        on_revoke: Rebalanced = None,
        on_lost: Rebalanced = None,
    ) -> None:
        """Join the group."""
        self._require_open()
        self._callbacks = {"assign": on_assign, "revoke": on_revoke, "lost": on_lost or on_revoke}
        for topic in topics:
            if topic not in self._broker.topics:
                self._complain(
                    KafkaError.UNKNOWN_TOPIC_OR_PART,
                    f"Subscribed topic not available: {topic}: Broker: Unknown topic or partition",
                    topic,
                )
        self._member.subscribe(topics)

    def _rebalanced(self, change: Change, partitions: Assigned) -> None:
        self._fetching.suspend()
        self._changes.append((change, partitions))

    def _unassign_all(self) -> None:
        for at in list(self._fetching.parts):
            self._fetching.remove(at)

    def _failed(self, code: int) -> None:
        reason = KafkaError(code).str()
        self._fatal = error_of(code, reason, fatal=True)
        self._changes.clear()
        self._unassign_all()
        self._complain(KafkaError._FATAL, f"Fatal error: {reason}: Fatal consumer error: {reason}")

    def _complain(self, code: int, text: str, topic: str = "") -> None:
        self._notices.append(Message((topic, -1), OFFSET_INVALID, None, None, error=error_of(code, text)))

    def _connected(self) -> None:
        self._fetching.wake()
        self._member.connected()

    def _disconnected(self) -> None:
        self._fetching.disconnected()
        self._member.disconnected()

    def _serve(self) -> None:
        """Run the callbacks that are due."""
        errors = self.link.errors
        while errors:
            error = errors.pop(0)
            if self._error_cb is not None:
                self._error_cb(error)
        while self._changes:
            self._serve_change(*self._changes.popleft())

    def _serve_change(self, change: Change, partitions: Assigned) -> None:
        self._handled = False
        call = self._callbacks.get(change)
        try:
            if call is not None:
                call(self, [TopicPartition(*at) for at in partitions])
        finally:
            if not self._handled:
                # As the library does for an application that does not do it itself.
                for at in partitions:
                    if change == "assign" and at not in self._fetching.parts:
                        self._fetching.add(at, OFFSET_INVALID)
                    elif change != "assign" and at in self._fetching.parts:
                        self._fetching.remove(at)
            if not self._changes:
                self._fetching.go_on()
            self._member.served(change, partitions)

    # -- records -----------------------------------------------------------------------------------------

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        """Up to so many records; waits until there are so many, or for `timeout`. Raises KafkaException."""
        self._require_open()
        world, fetching, member = self._world, self._fetching, self._member
        deadline_s = world.now_s() + (timeout if timeout >= 0 else _EVER_S)
        taken: list[Message] = []
        member.polled()
        member.polling = True

        def due() -> bool:
            return fetching.queued + len(taken) >= num_messages or bool(self._changes or self._notices)

        try:
            while True:
                self._serve()
                while self._notices and len(taken) < num_messages:
                    taken.append(self._notices.popleft())
                taken += fetching.take(num_messages - len(taken))
                left_s = deadline_s - world.now_s()
                if len(taken) >= num_messages or left_s <= 0:
                    return taken
                world.wait(due, left_s)
                if not due():
                    deadline_s = world.now_s()  # time is up: only what is there
        finally:
            member.polling = False
            member.polled()

    def poll(self, timeout: float = -1) -> Message | None:
        """One record. Raises KafkaException."""
        return next(iter(self.consume(1, timeout)), None)

    # -- the assignment ----------------------------------------------------------------------------------

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read these partitions and no others."""
        self._require_open()
        self._handled = True
        self._unassign_all()
        for partition in partitions:
            self._fetching.add(at_of(partition), partition.offset)

    def unassign(self) -> None:
        self.assign([])

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read these too. Raises KafkaException: one is read already."""
        self._require_open()
        if self._fatal is not None:
            return  # nothing is read any more
        for partition in partitions:
            if at_of(partition) in self._fetching.parts:
                text = f"{partition.topic} [{partition.partition}] is already part of the current assignment"
                raise failure(KafkaError._CONFLICT, text)
        self._handled = True
        for partition in partitions:
            self._fetching.add(at_of(partition), partition.offset)

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read these no longer. Raises KafkaException: one is not read."""
        self._require_open()
        if self._fatal is not None:
            return
        for partition in partitions:
            if at_of(partition) not in self._fetching.parts:
                text = f"{partition.topic} [{partition.partition}] is not part of the current assignment"
                raise failure(KafkaError._INVALID_ARG, text)
        self._handled = True
        for partition in partitions:
            self._fetching.remove(at_of(partition))

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*at) for at in self._fetching.parts]

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Give no records of these; what was read ahead is read again after `resume`."""
        for partition in partitions:
            self._fetching.pause(at_of(partition))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._fetching.resume(at_of(partition))

    def seek(self, partition: TopicPartition) -> None:
        """Read on from `partition.offset`. Raises KafkaException: it is not assigned."""
        part = self._fetching.parts.get(at_of(partition))
        if part is None:
            raise failure(KafkaError._UNKNOWN_PARTITION)
        self._fetching.seek(part, partition.offset)

    def position(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Offsets after the last records that were given."""
        found = []
        for partition in partitions:
            part = self._fetching.parts.get(at_of(partition))
            position = None if part is None else part.position
            found.append(TopicPartition(*at_of(partition), OFFSET_INVALID if position is None else position))
        return found

    # -- offsets -----------------------------------------------------------------------------------------

    def committed(self, partitions: Sequence[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        """Offsets that the group has committed. Raises KafkaException."""
        return self._offsets.committed(partitions, timeout)

    def commit(
        self,
        message: Message | None = None,
        offsets: Sequence[TopicPartition] | None = None,
        asynchronous: bool = True,
    ) -> list[TopicPartition] | None:
        """Commit offsets; what was committed, unless it is asynchronous. Raises KafkaException."""
        self._require_open()
        if self._fatal is not None:
            raise failure(KafkaError._FATAL, "Commit failed: Local: Fatal error")
        if message is not None:
            offsets = [TopicPartition(message.topic(), message.partition(), (message.offset() or 0) + 1)]
        return self._offsets.commit(offsets or (), asynchronous=asynchronous)

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float | None = None, cached: bool = False
    ) -> tuple[int, int]:
        """First offset, and that of the next record. Raises KafkaException."""
        if not cached:
            return self._offsets.bounds(at_of(partition), timeout)
        part = self._fetching.parts.get(at_of(partition))
        return (OFFSET_INVALID, OFFSET_INVALID) if part is None else (part.low, part.high)

    def offsets_for_times(
        self, partitions: Sequence[TopicPartition], timeout: float = -1
    ) -> list[TopicPartition]:
        """Offsets of the first records taken at these times, or later. Raises KafkaException."""
        return self._offsets.for_times(partitions, timeout)

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        """Brokers and topics. Raises KafkaException."""
        self._require_open()
        return self.link.call(
            partial(metadata_of, self._broker, topic), seconds(timeout), KafkaError._TRANSPORT
        )

    def memberid(self) -> str:
        return self._member.member_id

    # -- the end -----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Give the partitions back, by `on_revoke`, and leave the group unless the member is static."""
        if self._closed:
            return
        try:
            self._offsets.closing = True
            pending = [change for change, _ in self._changes]
            self._member.end()
            self._serve()
            if pending:
                # Once it is served the client leaves; what it still has can no longer be committed.
                self._offsets.closed = pending[-1] == "assign"
                self._member.leave()
            if self._member.owned:
                self._serve_change("revoke", tuple(self._member.owned))
        finally:
            self._closed = True
            self._unassign_all()
            self._member.leave()
            # A client's main thread looks once a second, so that some closings take so long.
            slow = self._world.random.random() < _SLOW_CLOSE
            self._world.wait(lambda: False, 1.0 if slow else self._broker.pace.hop_s[1])
            self.link.close()

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError("Consumer closed")
