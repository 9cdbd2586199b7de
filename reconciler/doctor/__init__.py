"""Diagnoses a mirror for `r2mirror doctor`, and suggests a fix for every problem.

    diagnose  runs all checks
    results   the result of one check, and how to fix what it found
    probe     sends requests to the public URL as clients do, without credentials
    judge     what the answers mean for docker, podman and other clients; pure
    public    the public URL, from its name to the last blob of a tag
    bucket    the store's own side: credentials, permissions, conditional writes, clock
    sources   each registry that mirrors.yaml names

Nothing is written: permissions are checked with conditional writes whose condition never holds.
"""
