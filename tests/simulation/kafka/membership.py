"""A consumer's side of its group: joining, heartbeats, and which partitions it must give back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final, Literal

from confluent_kafka import KafkaError

from tests.simulation.kafka.groups import Group
from tests.simulation.kafka.link import Link
from tests.simulation.kafka.log import Refused
from tests.simulation.kafka.messages import RETRIABLE, At
from tests.simulation.kafka.protocol import COOPERATIVE, Assigned, Join, Joined, assign

Change = Literal["assign", "revoke", "lost"]
Phase = Literal["idle", "waiting", "joining", "syncing", "changing", "steady", "ended"]

# librdkafka tries to join once a second at most.
_JOIN_AGAIN_S: Final = 1.0
# After a connection was made the coordinator is looked for, at most twice a second.
_COORDINATOR_S: Final = 0.5
# Answers after which the group has gone on without us.
PUT_OUT: Final = frozenset(
    (KafkaError.FENCED_INSTANCE_ID, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION)
)


class Membership:
    """One member.

    Args:
        changed: the application must be told of partitions that come or go; `served` says that it was.
        failed: a fatal error. complain: an error for the application.

    Attributes:
        owned: the group's partitions that are ours.
        polling: whether the application is in a call that serves callbacks.
    """

    def __init__(
        self,
        link: Link,
        config: Mapping[str, Any],
        changed: Callable[[Change, Assigned], None],
        failed: Callable[[int], None],
        complain: Callable[[int, str], None],
    ) -> None:
        self._link = link
        self._world = link.world
        self._name = str(config.get("group.id", ""))
        self.instance_id: str | None = config.get("group.instance.id")
        self._client_id = str(config.get("client.id", "rdkafka"))
        self._session_s = config.get("session.timeout.ms", 45_000) / 1000
        self._heartbeat_s = config.get("heartbeat.interval.ms", 3_000) / 1000
        self._most_s = config.get("max.poll.interval.ms", 300_000) / 1000
        self._strategy = str(config.get("partition.assignment.strategy", "range,roundrobin"))
        self._changed = changed
        self._failed = failed
        self._complain = complain
        self._topics: tuple[str, ...] = ()
        self._phase: Phase = "idle"
        self._attempt = 0
        self._incoming: Assigned | None = None  # to be assigned once others are revoked
        self._join_from_s = 0.0
        self._rejoins = False  # after the present change
        self._heard_s = 0.0  # from the coordinator
        self._polled_s = 0.0
        self._exceeded = False
        self.polling = False
        self.member_id = ""
        self.generation = -1
        self.owned: dict[At, None] = {}

    @property
    def _cooperative(self) -> bool:
        return self._strategy == COOPERATIVE

    def group(self) -> Group:
        """At the broker. Raises Refused."""
        return self._link.broker.coordinator.group(self._name)

    def polled(self) -> None:
        """The application called."""
        self._polled_s = self._world.now_s()
        if self._exceeded:
            self._exceeded = False
            if self._phase == "waiting":
                self._join()

    # -- joining -----------------------------------------------------------------------------------------

    def subscribe(self, topics: Collection[str]) -> None:
        self._topics = tuple(sorted(topics))
        self._polled_s = self._world.now_s()
        if self._phase == "idle":
            self._phase = "waiting"
            self._world.later(self._heartbeat_s, self._beat)
        self._join()

    def connected(self) -> None:
        if self._phase == "waiting":
            found_s = self._world.random.uniform(0, _COORDINATOR_S) if self.generation >= 0 else 0.0
            self._world.later(found_s, partial(self._join_again, self._attempt))

    def disconnected(self) -> None:
        if self._phase in ("joining", "syncing"):
            self._attempt += 1
            self._phase = "waiting"

    def _join(self) -> None:
        if self._phase == "ended":
            return
        self._attempt += 1
        self._phase = "waiting"
        wait_s = self._join_from_s - self._world.now_s()
        if wait_s > 0:
            self._world.later(wait_s, partial(self._join_again, self._attempt))
        elif self._link.connected and not self._exceeded:
            self._join_now()

    def _join_again(self, attempt: int) -> None:
        if self._attempt == attempt and self._phase == "waiting" and self._link.alive:
            self._join()

    def _join_now(self) -> None:
        self._join_from_s = self._world.now_s() + _JOIN_AGAIN_S
        self._phase = "joining"
        request = Join(
            self.member_id,
            self.instance_id,
            self._client_id,
            self._topics,
            tuple(self.owned),
            self.generation,
            self._session_s,
            self._most_s,
            self._strategy,
        )
        self._link.send(lambda reply: self.group().join(request, reply), partial(self._joined, self._attempt))

    def _joined(self, attempt: int, answer: Joined | Refused) -> None:
        if attempt != self._attempt:
            return
        if isinstance(answer, Refused):
            if answer.code == KafkaError.FENCED_INSTANCE_ID:
                self._fail(answer.code)
                return
            if answer.code == KafkaError.UNKNOWN_MEMBER_ID:
                self.member_id = ""
            self._join()
            return
        self.member_id = answer.member_id
        self._heard_s = self._world.now_s()
        if answer.generation < 0:
            # With the id that we were given. Whoever had another one has been put out of the group.
            self._join_from_s = 0.0
            self.lose()
            return
        self.generation = answer.generation
        shares = None
        if answer.members is not None:
            topics = self._link.broker.topics
            wanted = {topic for join in answer.members for topic in join.topics if topic in topics}
            shares = assign(answer.members, {topic: len(topics[topic].logs) for topic in wanted})
        self._phase = "syncing"
        ids = self.member_id, self.instance_id, self.generation
        self._link.send(lambda reply: self.group().sync(*ids, shares, reply), partial(self._synced, attempt))

    def _synced(self, attempt: int, answer: Assigned | Refused) -> None:
        if attempt != self._attempt:
            return
        self._heard_s = self._world.now_s()
        if isinstance(answer, Refused):
            if answer.code in PUT_OUT:
                self.refused(answer.code)
            else:
                self._join()
            return
        added = tuple(at for at in answer if at not in self.owned)
        revoked = tuple(at for at in self.owned if at not in answer)
        if revoked and self._cooperative:
            self._incoming, self._rejoins = added, True
            self._change("revoke", revoked)
        else:
            self._change("assign", added)

    # -- changes of the assignment -----------------------------------------------------------------------

    def _change(self, change: Change, partitions: Assigned) -> None:
        self._phase = "changing"
        self._changed(change, partitions)

    def served(self, change: Change, partitions: Assigned) -> None:
        """The application has been told, and has assigned or unassigned."""
        if change == "assign":
            self.owned.update(dict.fromkeys(partitions))
        else:
            for at in partitions:
                self.owned.pop(at, None)
        if self._phase != "changing":
            return
        if self._incoming is not None:
            added, self._incoming = self._incoming, None
            self._change("assign", added)
        elif self._rejoins:
            self._rejoins = False
            self._join()
        else:
            self._phase = "steady"

    def lose(self) -> None:
        """Others may have our partitions already."""
        if self._phase in ("changing", "ended"):
            return
        self._attempt += 1
        if self.owned:
            self._rejoins = True
            self._change("lost", tuple(self.owned))
        else:
            self._join()

    def _forget_id(self) -> None:
        self.member_id, self.generation = "", -1

    def _fail(self, code: int) -> None:
        """This client can never be used again; the library tells no callback of it."""
        if self._phase != "ended":
            self.end()
            self.owned.clear()
            self._failed(code)

    def end(self) -> None:
        """The consumer closes: nothing is joined any more."""
        self._phase = "ended"
        self._attempt += 1

    # -- heartbeats --------------------------------------------------------------------------------------

    def _beat(self) -> None:
        if self._phase == "ended" or not self._link.alive:
            return
        self._world.later(self._heartbeat_s, self._beat)
        now_s = self._world.now_s()
        idle_s = 0.0 if self.polling else now_s - self._polled_s
        if idle_s > self._most_s and not self._exceeded:
            self._exceed(idle_s)
        elif self.generation >= 0 and self._phase in ("steady", "changing"):
            if now_s - self._heard_s > self._session_s:
                self._forget_id()
                self.lose()
            else:
                ids = self.member_id, self.instance_id, self.generation
                self._link.ask(lambda: self.group().heartbeat(*ids), partial(self._beaten, ids))

    def _beaten(self, ids: tuple[str, str | None, int], answer: Refused | None) -> None:
        if ids[0] != self.member_id or ids[2] != self.generation:
            return
        if isinstance(answer, Refused):
            self.refused(answer.code)
        else:
            self._heard_s = self._world.now_s()

    def refused(self, code: int) -> None:
        """The coordinator refused a heartbeat or a commit."""
        if code == KafkaError.FENCED_INSTANCE_ID:
            self._fail(code)
        elif code == KafkaError.UNKNOWN_MEMBER_ID:
            self._forget_id()
            self.lose()
        elif code == KafkaError.ILLEGAL_GENERATION:
            self.generation = -1
            self.lose()
        elif code == KafkaError.REBALANCE_IN_PROGRESS:
            self._heard_s = self._world.now_s()
            if self._phase == "steady":
                self._rebalance()
        elif code not in RETRIABLE:
            raise AssertionError(f"a coordinator does not answer {code}")

    def _rebalance(self) -> None:
        if self._cooperative or not self.owned:
            self._join()
        else:
            self._rejoins = True
            self._change("revoke", tuple(self.owned))

    def _exceed(self, idle_s: float) -> None:
        """The application does not poll: it may hang."""
        self._exceeded = True
        most_ms, over_ms = int(self._most_s * 1000), int((idle_s - self._most_s) * 1000)
        text = f"Application maximum poll interval ({most_ms}ms) exceeded by {over_ms}ms"
        self._complain(KafkaError._MAX_POLL_EXCEEDED, text)
        if self.instance_id is None:
            self.leave()
            self._forget_id()
        self.lose()

    def leave(self) -> None:
        """Tell the coordinator that a dynamic member goes."""
        member_id = self.member_id
        if member_id and self.instance_id is None:
            self._link.ask(lambda: self.group().leave(member_id), lambda _: None)
