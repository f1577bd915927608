"""Dead letters: reading, classification by today's contracts, replay."""
