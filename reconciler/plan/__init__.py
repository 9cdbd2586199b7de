"""Plans what an apply would do: resolves the patterns, decides what is wanted, compares that with the mirror index."""
