"""Reads mirrors.yaml: as values, or every problem in it with its line and column; and what an edit to it means."""
