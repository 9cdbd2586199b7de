"""Concurrent work: threads, fair shares of them, the deadline of a run, unforeseen exceptions."""
