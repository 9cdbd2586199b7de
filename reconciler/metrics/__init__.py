"""Metrics of runs in Prometheus' format: which there are, their values after a run, and how they are written."""
