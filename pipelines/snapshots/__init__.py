"""The market's state every five minutes: one row per exchange, symbol and slot (docs/snapshots.md)."""
