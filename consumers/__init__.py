"""Kafka → indicators → points → store."""
