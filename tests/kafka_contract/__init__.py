"""What our code expects of Kafka and its client; run on a real one and on the simulated one (STYLE §3).

Where the two differ, the simulated one is wrong. Cases are numbered in the order of the calls: producer,
reading, offsets, groups, the broker's absence.
"""

from __future__ import annotations

from tests.kafka_contract.absence import Absence
from tests.kafka_contract.base import Calls, Reports
from tests.kafka_contract.grouping import Grouping
from tests.kafka_contract.producing import Producing
from tests.kafka_contract.reading import Reading

__all__ = ["Calls", "KafkaContract", "Reports"]


class KafkaContract(Producing, Reading, Grouping, Absence):
    """All cases; subclasses give a `place` fixture."""
