"""Benchmarks: each prints a table and writes JSON. Figures are ratios to the bare libraries, in one run."""
