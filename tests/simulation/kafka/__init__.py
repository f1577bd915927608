"""A Kafka in memory, with the calls of confluent-kafka that our code makes.

It behaves as `tests/kafka_contract.py` says, which real Kafka passes too. Time and chance come from the
`Surroundings`, so that a seed decides everything.
"""
