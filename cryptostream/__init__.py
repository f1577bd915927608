"""The command line, and `run`, which starts everything on one machine."""
