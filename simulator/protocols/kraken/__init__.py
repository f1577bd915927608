"""Kraken's WebSocket v2 and REST, public market data (COINBASE_KRAKEN.md §4)."""
