"""Streaming indicators, equal to those of `ta` 0.11, from closed and open bars (pure: no I/O, no clock).

`registry.indicator_set` makes a set; the set turns (state, bar) into values.
"""
