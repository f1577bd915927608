"""What members and coordinator of a group say to each other, and how a leader assigns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from tests.simulation.kafka.log import Refused
from tests.simulation.kafka.messages import At


class Join(NamedTuple):
    """A member's request; an empty `member_id` asks for one.

    Attributes:
        owned: partitions that it reads, as of `generation`.
    """

    member_id: str
    instance_id: str | None
    client_id: str
    topics: tuple[str, ...]
    owned: tuple[At, ...]
    generation: int
    session_s: float
    rebalance_s: float
    strategy: str


class Joined(NamedTuple):
    """The answer; the leader gets the members and must assign. Generation -1: join again with this id."""

    generation: int
    member_id: str
    members: tuple[Join, ...] | None


Assigned = tuple[At, ...]
Later = Callable[[float, Callable[[], None]], None]
JoinReply = Callable[["Joined | Refused"], None]
SyncReply = Callable[["Assigned | Refused"], None]


class Saved(NamedTuple):
    """What of a group is on the disk."""

    generation: int
    leader: str | None
    members: tuple[tuple[Join, Assigned], ...]


# How many of its partitions a member may keep: the assignors that librdkafka has and we name.
COOPERATIVE: Final = "cooperative-sticky"


def assign(members: Iterable[Join], partitions: Mapping[str, int]) -> dict[str, Assigned]:
    """The leader's assignment: balanced, with as few moves as possible.

    A partition that moves under the cooperative strategy is given to nobody until its owner has revoked it.

    Args:
        partitions: their number, by topic.
    """
    joins = sorted(members, key=lambda join: join.member_id)
    everything = [(topic, number) for topic in sorted(partitions) for number in range(partitions[topic])]
    wanted = {topic for join in joins for topic in join.topics}
    open_ = [at for at in everything if at[0] in wanted]
    # Of two that claim a partition, the one that knows the later generation is right.
    by_generation = sorted(joins, key=lambda join: join.generation)
    owners = {at: join.member_id for join in by_generation for at in join.owned}
    least, more = divmod(len(open_), len(joins))
    # The ones that own most may keep one more than the others.
    by_load = sorted(joins, key=lambda join: -len(join.owned))
    quota = {join.member_id: least + (place < more) for place, join in enumerate(by_load)}
    kept: dict[str, list[At]] = {join.member_id: [] for join in joins}
    for at in open_:
        owner = owners.get(at)
        if owner is not None and len(kept[owner]) < quota[owner]:
            kept[owner].append(at)
    held = {at for each in kept.values() for at in each}
    for at in open_:
        if at in held:
            continue
        taker = min(kept, key=lambda member_id: (len(kept[member_id]) - quota[member_id], member_id))
        kept[taker].append(at)
    if all(join.strategy == COOPERATIVE for join in joins):
        for member_id, ats in kept.items():
            ats[:] = [at for at in ats if owners.get(at, member_id) == member_id]
    return {member_id: tuple(sorted(ats)) for member_id, ats in kept.items()}
