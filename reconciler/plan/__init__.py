"""What an apply would do: resolve the patterns, decide what is wanted, and compare that with the mirror index."""
