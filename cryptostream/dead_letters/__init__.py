"""Dead letters: reading them, judging whether they pass by now, and sending them back."""
