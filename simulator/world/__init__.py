"""The seeded market: trades are the only truth, everything else is derived from them or stands beside them."""
