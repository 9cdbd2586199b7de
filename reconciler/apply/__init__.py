"""Applies a plan: copies images, and writes in an order that keeps every tag complete."""
