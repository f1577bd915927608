"""Checks of everything that a deployment stands on, each with the way to mend it."""
