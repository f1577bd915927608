"""The embedded mode: broker, source, producers, consumers, store and a screen on one machine (DESIGN §7)."""
