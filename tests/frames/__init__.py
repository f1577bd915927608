"""Millions of generated frames, answers and records against the code that reads them (`make frames`)."""
