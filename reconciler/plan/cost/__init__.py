"""Estimates what a plan costs: pulls, bytes, requests and money."""
