"""Reads the top-level keys of mirrors.yaml, a module for each: checks what a schema cannot, and builds the values."""
