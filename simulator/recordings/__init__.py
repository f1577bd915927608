"""Recordings of Binance spot: readers of every format, and the player that serves them."""
