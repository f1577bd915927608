"""Checks of everything that a deployment needs, each with its fix."""
