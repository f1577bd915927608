"""A harness that injects faults into a whole stack and compares the store with what the exchange issued.

A run starts a seeded exchange, producers and consumers as processes of their own on a real Kafka and a real
InfluxDB, injects the faults of a scenario, lets everything drain, and checks the promises of DESIGN §5.
"""
