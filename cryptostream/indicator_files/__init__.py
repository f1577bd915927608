"""Indicators of klines in files: reading them as one series, computing, writing, checking."""
