"""Verification at the end of a run: everything is stored that the exchange has issued."""
