"""The page and its API, measured: from the exchange's event to the painted pixel, and what viewers cost."""
