"""The admin client: topics and their settings, offsets, deletion of records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, TopicPartition
from confluent_kafka.admin import ConfigEntry, ListOffsetsResultInfo, OffsetSpec

from tests.simulation.kafka.broker import Broker
from tests.simulation.kafka.link import RETRY_S, Link
from tests.simulation.kafka.log import Refused
from tests.simulation.kafka.messages import RETRIABLE, At, failure
from tests.simulation.kafka.metadata import metadata_of
from tests.simulation.port import Surroundings

Asked = TypeVar("Asked")
_REQUEST_S: Final = 60.0
# It does not ask again for a topic that the broker does not know.
_AGAIN: Final = RETRIABLE - {KafkaError.UNKNOWN_TOPIC_OR_PART}
# What a topic has that was declared without them.
_DEFAULTS: Final = {
    "cleanup.policy": "delete",
    "retention.ms": "604800000",
    "retention.bytes": "-1",
    "segment.bytes": "1073741824",
    "message.timestamp.type": "CreateTime",
}


class Answer(Future[Any]):
    """A future whose waiting is virtual; `work` is what the broker has to do."""

    def __init__(self, world: Surroundings, work: Callable[[], Any]) -> None:
        super().__init__()
        self._world = world
        self.work = work

    def result(self, timeout: float | None = None) -> Any:
        self._await(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._await(timeout)
        return super().exception(0)

    def _await(self, timeout: float | None) -> None:
        self._world.wait(self.done, _REQUEST_S if timeout is None else timeout)


class AdminClient:
    """With the calls of `confluent_kafka.admin.AdminClient` that our code makes."""

    def __init__(self, broker: Broker, config: Mapping[str, Any]) -> None:
        self._world = broker.world
        self._broker = broker
        self._asked: list[Answer] = []  # and not answered
        self.link = Link(broker, self._connected, self._disconnected, lasting=False)

    def poll(self, timeout: float = -1) -> int:
        self._world.wait(lambda: False, timeout)
        return 0

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        """Brokers and topics. Raises KafkaException."""
        ask = partial(metadata_of, self._broker, topic)
        return self.link.call(ask, timeout if timeout >= 0 else _REQUEST_S, KafkaError._TRANSPORT)

    def create_topics(
        self, new_topics: Iterable[Any], request_timeout: float = _REQUEST_S
    ) -> dict[str, Future[None]]:
        """An answer by topic."""
        return {
            new.topic: self._ask(
                partial(self._broker.create_topic, new.topic, max(new.num_partitions, 1), new.config),
                request_timeout,
            )
            for new in new_topics
        }

    def list_offsets(
        self,
        topic_partition_offsets: Mapping[TopicPartition, OffsetSpec],
        request_timeout: float = _REQUEST_S,
    ) -> dict[TopicPartition, Future[ListOffsetsResultInfo]]:
        """The offset and the leader's epoch, by partition."""
        return {
            at: self._ask(partial(self._listed, (at.topic, at.partition), spec), request_timeout)
            for at, spec in topic_partition_offsets.items()
        }

    def _listed(self, at: At, spec: OffsetSpec) -> ListOffsetsResultInfo:
        try:
            log = self._broker.led(at)
        except Refused as refused:
            # The client finds no leader to ask.
            missing = refused.code == KafkaError.UNKNOWN_TOPIC_OR_PART
            raise Refused(KafkaError._NOENT if missing else refused.code) from None
        latest = isinstance(spec, type(OffsetSpec.latest()))
        epoch = log.epoch if latest else (log.records[0].leader_epoch() if log.records else None)
        # Any: the published types lack this class's arguments.
        kind: Any = ListOffsetsResultInfo
        result: ListOffsetsResultInfo = kind(log.end if latest else log.start, -1, epoch)
        return result

    def delete_records(
        self, topic_partition_offsets: Iterable[TopicPartition], request_timeout: float = _REQUEST_S
    ) -> dict[TopicPartition, Future[None]]:
        """Delete what is before these offsets."""

        def delete(at: TopicPartition) -> None:
            log = self._broker.led((at.topic, at.partition))
            if at.offset > log.end:
                raise Refused(KafkaError.OFFSET_OUT_OF_RANGE)
            log.drop_before(log.end if at.offset < 0 else at.offset)

        return {at: self._ask(partial(delete, at), request_timeout) for at in topic_partition_offsets}

    def describe_configs(
        self, resources: Iterable[Any], request_timeout: float = _REQUEST_S
    ) -> dict[Any, Future[dict[str, ConfigEntry]]]:
        """Settings of topics."""

        def describe(name: str) -> dict[str, ConfigEntry]:
            topic = self._broker.topics.get(name)
            if topic is None:
                raise Refused(KafkaError.UNKNOWN_TOPIC_OR_PART)
            return {key: ConfigEntry(key, value) for key, value in {**_DEFAULTS, **topic.config}.items()}

        return {each: self._ask(partial(describe, each.name), request_timeout) for each in resources}

    # -- requests ----------------------------------------------------------------------------------------

    def _ask(self, work: Callable[[], Asked], timeout_s: float) -> Future[Any]:
        """Ask in the background until there is an answer."""
        asked = Answer(self._world, work)
        self._asked.append(asked)
        self._world.later(timeout_s, partial(self._give_up, asked))
        self._send(asked)
        return asked

    def _send(self, asked: Answer) -> None:
        self.link.want()
        self.link.ask(asked.work, partial(self._answered, asked))

    def _connected(self) -> None:
        for asked in self._asked:
            self._send(asked)

    def _disconnected(self) -> None:
        if self._asked:
            self.link.want()

    def _give_up(self, asked: Answer) -> None:
        if asked in self._asked and self.link.alive:
            self._asked.remove(asked)
            asked.set_exception(failure(KafkaError._TIMED_OUT))

    def _answered(self, asked: Answer, answer: Any) -> None:
        if asked not in self._asked:
            return
        if isinstance(answer, Refused) and answer.code in _AGAIN:
            self._world.later(RETRY_S, partial(self._send, asked))
            return
        self._asked.remove(asked)
        if isinstance(answer, Refused):
            asked.set_exception(failure(answer.code))
        else:
            asked.set_result(answer)
