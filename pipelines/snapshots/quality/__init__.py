"""Whether what was taken can be true: rules, bounds learned from the last day, quarantine."""
