"""What both sides agree on: messages, topics, settings, errors, Kafka set-up, logging, metrics."""
