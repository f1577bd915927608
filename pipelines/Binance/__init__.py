"""Scripts under the names that users type; each is a part of `cryptostream snapshots`."""
