"""The embedded mode: broker, source, producers, consumers and store on one machine, and a screen (DESIGN §7)."""
