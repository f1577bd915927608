"""The parts of `cryptostream snapshots`."""
