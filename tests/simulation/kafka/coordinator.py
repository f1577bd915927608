"""The coordinator of all groups, and `__consumer_offsets`: what it forgets when its disk does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import NamedTuple

from confluent_kafka import KafkaError

from tests.simulation.kafka.groups import Group
from tests.simulation.kafka.log import Refused
from tests.simulation.kafka.messages import At
from tests.simulation.kafka.protocol import Later, Saved
from tests.simulation.port import Surroundings


class Committed(NamedTuple):
    """A committed offset."""

    offset: int
    metadata: str


class _Entry(NamedTuple):
    """A record of `__consumer_offsets`: a group's state, or an offset."""

    time_ms: int
    group: str
    content: Saved | tuple[At, Committed]


class Journal(list[_Entry]):
    """The one log of all groups."""

    @property
    def end(self) -> int:
        return len(self)

    def truncate(self, end: int) -> None:
        """Lose everything from here on."""
        del self[end:]


class Coordinator:
    """Groups by name, and their offsets.

    Args:
        later: the broker's timers.

    Attributes:
        journal: what is on the disk.
    """

    def __init__(self, world: Surroundings, later: Later, initial_delay_s: float) -> None:
        self._world = world
        self._later = later
        self._initial_delay_s = initial_delay_s
        self.journal = Journal()
        self._groups: dict[str, Group] = {}
        self._offsets: dict[str, dict[At, Committed]] = {}
        self._loaded_s = 0.0

    def group(self, name: str) -> Group:
        """Raises Refused: the coordinator is still reading its log."""
        if self._world.now_s() < self._loaded_s:
            raise Refused(KafkaError.COORDINATOR_LOAD_IN_PROGRESS)
        group = self._groups.get(name)
        if group is None:
            group = self._made(name)
            self._groups[name] = group
        return group

    def _made(self, name: str, saved: Saved | None = None) -> Group:
        return Group(self._world, self._later, partial(self._save, name), self._initial_delay_s, saved)

    def groups(self) -> Iterable[str]:
        """Names of the groups that exist, in order of their first use."""
        return self._groups.keys()

    def commit(
        self,
        name: str,
        member_id: str,
        instance_id: str | None,
        generation: int,
        offsets: Mapping[At, Committed],
    ) -> None:
        """Raises Refused."""
        self.group(name).may_commit(member_id, instance_id, generation)
        now_ms = self._world.now_ms()
        self.journal += [_Entry(now_ms, name, each) for each in offsets.items()]
        self._offsets.setdefault(name, {}).update(offsets)

    def committed(self, name: str, ats: Iterable[At]) -> dict[At, Committed]:
        """Those of these partitions that have a committed offset. Raises Refused."""
        self.group(name)
        offsets = self._offsets.get(name, {})
        return {at: offsets[at] for at in ats if at in offsets}

    def _save(self, name: str, saved: Saved) -> None:
        self.journal.append(_Entry(self._world.now_ms(), name, saved))

    # -- restarts ----------------------------------------------------------------------------------------

    def stop(self) -> None:
        for group in self._groups.values():
            group.drop()

    def cut(self, since_ms: int) -> None:
        """Lose some of what was written at `since_ms` or later, or all of it, or nothing."""
        end = len(self.journal)
        first = next((at for at, entry in enumerate(self.journal) if entry.time_ms >= since_ms), end)
        random = self._world.random
        self.journal.truncate(
            (end, first, *(random.randint(first, end) for _ in range(2)))[random.randrange(4)]
        )

    def start(self, load_s: float) -> None:
        """Read the log again; groups answer after `load_s`."""
        self._loaded_s = self._world.now_s() + load_s
        groups: dict[str, Saved] = {}
        self._offsets = {}
        for entry in self.journal:
            if isinstance(entry.content, Saved):
                groups[entry.group] = entry.content
            else:
                at, committed = entry.content
                self._offsets.setdefault(entry.group, {})[at] = committed
        self._groups = {name: self._made(name, saved) for name, saved in groups.items()}
