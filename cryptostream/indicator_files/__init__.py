"""Indicators of bars in files: reading them as one series, computing, writing, and checking what came out."""
