"""`cryptostream run`: broker, source, producers, consumers, store and screen on one machine (DESIGN §7)."""
