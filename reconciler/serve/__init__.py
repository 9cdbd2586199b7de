"""Serves a store as a read-only registry: a folder, a private bucket, or a bucket inside a cluster.

    server      the web server (uvicorn) and its settings
    listener    the socket, and how many connections there are file descriptors for
    connections a client's connection, and how long it may be idle
    traffic     counts requests and answers, for metrics
    measured    answers /metrics
    admission   which requests are let in: how many at once, and for which Host
    registry    the endpoints: a path becomes a key, and the object becomes an answer (Starlette)
    lists       reads the published lists back
    refusals    errors in the specification's form
    stream      sends a blob to a client
    answers     ranges, ETags, pages and filters; pure

Sources: OCI distribution specification 1.1 and its error codes; RFC 9110 for the rest.
"""
