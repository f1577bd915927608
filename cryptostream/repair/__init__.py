"""Fetching over REST what a series is missing."""
