"""A consumer group as its coordinator sees it: joining, generations, static members, sessions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from confluent_kafka import KafkaError

from tests.simulation.kafka.log import Refused
from tests.simulation.kafka.protocol import Assigned, Join, Joined, JoinReply, Later, Saved, SyncReply
from tests.simulation.port import Surroundings

State = Literal["empty", "preparing", "completing", "stable"]


@dataclass(slots=True)
class Member:
    """What the coordinator knows of a member."""

    join: Join
    assigned: Assigned = ()
    expires_s: float = 0.0
    joining: JoinReply | None = None
    syncing: SyncReply | None = None


class Group:
    """One group.

    Args:
        later: the broker's timers.
        save: makes the group's state durable.
        initial_delay_s: how long the first member waits for others.
    """

    def __init__(
        self,
        world: Surroundings,
        later: Later,
        save: Callable[[Saved], None],
        initial_delay_s: float,
        saved: Saved | None = None,
    ) -> None:
        self._world = world
        self._later = later
        self._save = save
        self._initial_delay_s = initial_delay_s
        self._round = 0
        self._delayed = False
        self._promised: set[str] = set()  # ids of members that have not joined yet
        self.gone = False  # the coordinator that this belonged to was stopped
        self.state: State = "empty"
        self.generation = 0 if saved is None else saved.generation
        self.members: dict[str, Member] = {}
        self._leader = None if saved is None else saved.leader
        for join, assigned in () if saved is None else saved.members:
            self.members[join.member_id] = Member(join, assigned)
            self.state = "stable"
            self._watch(join.member_id)
        self._instances: dict[str, str] = {
            member.join.instance_id: member_id
            for member_id, member in self.members.items()
            if member.join.instance_id is not None
        }

    # -- requests ----------------------------------------------------------------------------------------

    def join(self, request: Join, reply: JoinReply) -> None:
        """Answered when all members have joined. Raises Refused."""
        if not request.member_id:
            named = request._replace(member_id=self._new_id(request))
            if named.instance_id is None:
                # It joins once it knows its id, so that a lost answer leaves no member that nobody is.
                self._promised.add(named.member_id)
                reply(Joined(-1, named.member_id, None))
            else:
                self._enter(named, reply)
            return
        if request.member_id in self._promised:
            self._promised.remove(request.member_id)
            self._enter(request, reply)
            return
        member = self._member(request.member_id, request.instance_id)
        changed = member.join != request
        member.join, member.joining = request, reply
        self._alive(member)
        if self.state == "preparing":
            self._complete_when_all_joined()
        elif changed or request.member_id == self._leader:
            self._prepare()
        else:
            self._answer_join(member)

    def sync(
        self,
        member_id: str,
        instance_id: str | None,
        generation: int,
        assignments: Mapping[str, Assigned] | None,
        reply: SyncReply,
    ) -> None:
        """Answered when the leader has assigned. Raises Refused."""
        member = self._of_generation(member_id, instance_id, generation)
        self._alive(member)
        if self.state == "preparing":
            raise Refused(KafkaError.REBALANCE_IN_PROGRESS)
        if self.state == "stable":
            reply(member.assigned)
            return
        member.syncing = reply
        if member_id == self._leader:
            for each_id, each in self.members.items():
                each.assigned = (assignments or {}).get(each_id, ())
            self.state = "stable"
            self._persist()
            for each in self.members.values():
                if each.syncing is not None:
                    answer, each.syncing = each.syncing, None
                    answer(each.assigned)

    def heartbeat(self, member_id: str, instance_id: str | None, generation: int) -> None:
        """Raises Refused."""
        self._alive(self._of_generation(member_id, instance_id, generation))
        if self.state == "preparing":
            raise Refused(KafkaError.REBALANCE_IN_PROGRESS)

    def may_commit(self, member_id: str, instance_id: str | None, generation: int) -> None:
        """Raises Refused: not by this member, or not now."""
        if generation < 0 and not self.members:
            return
        self._alive(self._of_generation(member_id, instance_id, generation))
        if self.state == "completing":
            raise Refused(KafkaError.REBALANCE_IN_PROGRESS)

    def leave(self, member_id: str) -> None:
        """A member left, or its session ended."""
        member = self.members.pop(member_id, None)
        if member is None:
            return
        if member.join.instance_id is not None:
            self._instances.pop(member.join.instance_id, None)
        for pending in (member.joining, member.syncing):
            if pending is not None:
                pending(Refused(KafkaError.UNKNOWN_MEMBER_ID))
        if self.state == "preparing":
            self._complete_when_all_joined()
        else:
            self._prepare()

    def drop(self) -> None:
        """The coordinator stopped; nobody is answered any more."""
        self.gone = True

    # -- members -----------------------------------------------------------------------------------------

    def _new_id(self, request: Join) -> str:
        return f"{request.instance_id or request.client_id}-{self._world.random.getrandbits(64):016x}"

    def _member(self, member_id: str, instance_id: str | None) -> Member:
        if instance_id is not None:
            known = self._instances.get(instance_id)
            if known is not None and known != member_id:
                raise Refused(KafkaError.FENCED_INSTANCE_ID)
        member = self.members.get(member_id)
        if member is None:
            raise Refused(KafkaError.UNKNOWN_MEMBER_ID)
        return member

    def _of_generation(self, member_id: str, instance_id: str | None, generation: int) -> Member:
        member = self._member(member_id, instance_id)
        if generation != self.generation:
            raise Refused(KafkaError.ILLEGAL_GENERATION)
        return member

    def _enter(self, request: Join, reply: JoinReply) -> None:
        before = self._instances.get(request.instance_id or "")
        if request.instance_id is not None:
            self._instances[request.instance_id] = request.member_id
        if before is None:
            self.members[request.member_id] = Member(request, joining=reply)
            self._watch(request.member_id)
            self._prepare() if self.state != "preparing" else self._complete_when_all_joined()
            return
        # A static member is back: it takes the place of its former self, which is fenced.
        former = self.members.pop(before)
        for pending in (former.joining, former.syncing):
            if pending is not None:
                pending(Refused(KafkaError.FENCED_INSTANCE_ID))
        member = replace(former, join=request, joining=reply, syncing=None)
        self.members[request.member_id] = member
        self._watch(request.member_id)
        if self._leader == before:
            self._leader = request.member_id
        if self.state == "stable" and former.join.topics == request.topics:
            self._persist()
            self._answer_join(member, leads=False)
        elif self.state == "preparing":
            self._complete_when_all_joined()
        else:
            self._prepare()

    # -- sessions ----------------------------------------------------------------------------------------

    def _alive(self, member: Member) -> None:
        member.expires_s = self._world.now_s() + member.join.session_s

    def _watch(self, member_id: str) -> None:
        member = self.members[member_id]
        self._alive(member)
        self._later(member.join.session_s, lambda: self._expire(member_id))

    def _expire(self, member_id: str) -> None:
        member = self.members.get(member_id)
        if member is None or self.gone:
            return
        if member.joining is not None or member.syncing is not None:
            self._alive(member)  # it waits for us
        left_s = member.expires_s - self._world.now_s()
        if left_s > 1e-9:
            self._later(left_s, lambda: self._expire(member_id))
        else:
            self.leave(member_id)

    # -- rounds ------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Begin a rebalance."""
        for member in self.members.values():
            if member.syncing is not None:
                answer, member.syncing = member.syncing, None
                answer(Refused(KafkaError.REBALANCE_IN_PROGRESS))
        first = self.state == "empty"
        self.state = "preparing"
        self._round += 1
        now = self._round
        if first and self._initial_delay_s:
            self._delayed = True
            self._later(self._initial_delay_s, lambda: self._go_on(now))
            return
        self._delayed = False
        timeout_s = max((member.join.rebalance_s for member in self.members.values()), default=0.0)
        self._later(timeout_s, lambda: self._give_up_waiting(now))
        self._complete_when_all_joined()

    def _go_on(self, number: int) -> None:
        if number == self._round and not self.gone:
            self._delayed = False
            self._complete_when_all_joined()

    def _give_up_waiting(self, number: int) -> None:
        if number == self._round and self.state == "preparing" and not self.gone:
            for member_id, member in list(self.members.items()):
                if member.joining is None and member.join.instance_id is None:
                    del self.members[member_id]
            self._complete()

    def _complete_when_all_joined(self) -> None:
        if not self._delayed and all(member.joining is not None for member in self.members.values()):
            self._complete()

    def _complete(self) -> None:
        self.generation += 1
        joined = [member_id for member_id, member in self.members.items() if member.joining is not None]
        if not joined:
            if not self.members:
                self.state, self._leader = "empty", None
                self._persist()
            return
        self.state = "completing"
        if self._leader not in joined:
            self._leader = joined[0]
        for member_id in joined:
            self._answer_join(self.members[member_id])

    def _answer_join(self, member: Member, *, leads: bool = True) -> None:
        assert member.joining is not None
        reply, member.joining = member.joining, None
        self._alive(member)
        leader = leads and member.join.member_id == self._leader
        members = tuple(each.join for each in self.members.values()) if leader else None
        reply(Joined(self.generation, member.join.member_id, members))

    def _persist(self) -> None:
        members = tuple((member.join, member.assigned) for member in self.members.values())
        self._save(Saved(self.generation, self._leader, members))
