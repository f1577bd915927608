"""Contracts and mechanisms of all services: messages, topics, settings, errors, Kafka, logging, metrics."""
