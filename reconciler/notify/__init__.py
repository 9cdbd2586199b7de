"""Notifies people and programs of runs: what is worth a message, what they know already, and how it is delivered."""
