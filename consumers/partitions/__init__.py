"""The partitions of a consumer: assignment, start offsets, state."""
