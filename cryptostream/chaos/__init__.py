"""The harness that breaks a whole stack on purpose and compares what is stored with what was issued.

A run starts a seeded exchange, producers and consumers as processes of their own on a real Kafka and a real
InfluxDB, disturbs them by a scenario, lets everything drain, and then judges the promises of DESIGN §5.
"""
