"""The exchanges' protocols, a folder each, spoken over the same world."""
