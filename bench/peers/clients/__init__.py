"""One program for each peer, run by the peers' own Python: they import nothing of ours but `lines`."""
