"""Topics read without a consumer group: rows for viewers, before the store has them."""
