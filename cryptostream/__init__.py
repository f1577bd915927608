"""The command line, and the embedded mode that starts everything on one machine."""
