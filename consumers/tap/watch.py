"""Whether the broker answers, and whether the topics are still those that are followed."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource

from consumers.tap.follower import Follower, Surroundings
from consumers.tap.kafka import admin_of, incarnations_of
from consumers.tap.port import Condition
from shared.errors import BrokerUnavailable
from shared.kafka import cause

_PERIOD_S: Final = 1.0
# A lost broker is noticed within the sum of both.
_ANSWER_S: Final = 1.5
_TOPICS_PERIOD_S: Final = 10.0


class BrokerWatch(threading.Thread):
    """Asks the broker every second; tells when it goes away and when it is back.

    Librdkafka's clients go on by themselves, from where they were. After a return, and every ten seconds, the
    topics' ids are compared: a follower whose topic was made anew, or has more partitions, starts over.

    Attributes:
        woken: set to ask at once.
    """

    def __init__(
        self,
        followers: Sequence[Follower],
        names: tuple[str, ...],
        around: Surroundings,
        woken: threading.Event,
    ) -> None:
        super().__init__(name="tap-watch")
        self._followers = followers
        self._names = names
        self._around = around
        self.woken = woken
        self._asked_topic = followers[0].work.topics[0]
        self._away_ms: int | None = None
        self._compared_s = 0.0

    def run(self) -> None:
        try:
            admin = admin_of(self._around.address)
            while not self._around.stopped.is_set():
                self._look(admin)
                self.woken.wait(_PERIOD_S)
                self.woken.clear()
        except BaseException as error:  # noqa: BLE001 - handed on; the process ends by it
            self._around.on_failure(error)

    def _look(self, admin: AdminClient) -> None:
        if not self._answers(admin):
            self._say_away()
            # Not at once again, however often the clients report it.
            self._around.stopped.wait(0.2)
            return
        if self._away_ms is not None:
            self._around.on_events([Condition(self._names, None, None, self._now_ms())])
            self._away_ms = None
            self._compared_s = 0.0
        if time.monotonic() - self._compared_s >= _TOPICS_PERIOD_S:
            self._compare()

    def _answers(self, admin: AdminClient) -> bool:
        try:
            if self._around.memory_broker:
                admin.list_topics(timeout=_ANSWER_S)
            else:
                # Not `describe_topics`: see `incarnations_of` for what a lasting client must not know. Nor
                # `describe_cluster`: an answer that names no broker, as of one that was frozen or starved,
                # aborts the process (librdkafka 2.8, assertion `rko_result`).
                resource = ConfigResource(ConfigResource.Type.TOPIC, self._asked_topic)
                asked: Any = admin.describe_configs([resource], request_timeout=_ANSWER_S)
                asked[resource].result(_ANSWER_S + 0.5)
        except TimeoutError:
            return False
        except KafkaException as error:
            # A refusal is an answer; errors below 0 are librdkafka's own.
            return int(cause(error).code()) >= 0
        return True

    def _say_away(self) -> None:
        if self._away_ms is None:
            self._away_ms = self._now_ms()
            away = f"Kafka at {self._around.address} does not answer"
            self._around.on_events([Condition(self._names, None, away, self._away_ms)])

    def _compare(self) -> None:
        topics = sorted({topic for follower in self._followers for topic in follower.work.topics})
        try:
            found = incarnations_of(self._around.address, topics, memory_broker=self._around.memory_broker)
        except BrokerUnavailable:
            return  # asked again in a second
        self._compared_s = time.monotonic()
        for follower in self._followers:
            followed = follower.incarnations
            if followed and any(found.get(topic) != known for topic, known in followed.items()):
                follower.renew()

    @staticmethod
    def _now_ms() -> int:
        return time.time_ns() // 1_000_000
