"""Fetches missing bars and trades over REST."""
