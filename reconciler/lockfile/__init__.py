"""Reads and writes mirrors.lock: the digest of every tag that mirrors.yaml chose when it was written."""
