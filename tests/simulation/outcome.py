"""The outcome of one simulated run, as it goes from a worker to the command. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

from tests.simulation.checks import Failure


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        digest: hash of everything that happened; empty if the run did not end.
        failures: the failed checks; empty if all promises were kept.
        happened: how often each kind of disturbance did something.
        rows: compared rows of the store. records: on the topics. events: hashed.
        virtual_s: how long it lasted in its own time, cpu_s: in the machine's.
        lines: the last of its trace.
    """

    seed: int
    digest: str = ""
    failures: tuple[Failure, ...] = ()
    happened: tuple[str, ...] = ()
    rows: int = 0
    records: int = 0
    events: int = 0
    virtual_s: float = 0.0
    cpu_s: float = 0.0
    lines: Sequence[str] = ()

    @property
    def checks(self) -> tuple[str, ...]:
        """What failed, each once."""
        return tuple(dict.fromkeys(failure.check for failure in self.failures))

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        fields = json.loads(text)
        fields["failures"] = tuple(Failure(*failure) for failure in fields["failures"])
        fields["happened"] = tuple(fields["happened"])
        return cls(**fields)
