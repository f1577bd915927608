"""Messages → points: one pure enricher per stream."""
