"""Tests of reconciler.metrics."""
