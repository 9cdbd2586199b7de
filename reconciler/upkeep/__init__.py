"""Looks after a bucket: verifies and repairs it, adopts what is there already, removes garbage."""
