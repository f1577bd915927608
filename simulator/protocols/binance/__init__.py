"""Binance's public market-data protocol as pure functions and state machines (BINANCE_SPOT.md §2–§9)."""
