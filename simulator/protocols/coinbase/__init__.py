"""Coinbase's Advanced Trade WebSocket and public REST (COINBASE_KRAKEN.md §2, §3)."""
