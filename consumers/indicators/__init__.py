"""Streaming indicators, equal to those of `ta` 0.11, from closed and open bars (pure: no I/O, no clock).

`registry.indicator_set` returns a set, which computes values from (state, bar).
"""
