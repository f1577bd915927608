"""Other adapters beside ours on the same simulated exchanges, with the same faults."""
