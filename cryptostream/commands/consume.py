"""`cryptostream consume`: one consumer process, Kafka to the store."""

from consumers.__main__ import add_arguments, run

__all__ = ["add_arguments", "run"]
