"""What `r2mirror doctor` looks at, and what it makes of it.

    finding   one thing that was looked at, how it is, and what to do about it
    client    what a client sees: requests to the public URL, without credentials
    judge     what those answers mean for docker, podman and the others; pure
    public    the public URL, from its name to the last blob of a tag
    bucket    the store's own side: credentials, permissions, conditional writes, clock
    sources   each registry that mirrors.yaml names

Nothing is written anywhere: the right to write is found out by writes whose condition cannot hold.
"""
