"""A store as a read-only registry, for a folder, a private bucket, a cluster: the local twin of the edge.

    server      the web server (uvicorn), and what is set of it
    listener    the socket, and how many connections there are descriptors for
    connections one client's connection, and how long it may be idle
    gate        which requests get through: how many at once, and for which Host
    registry    the endpoints: from a path to a key of layout.py, and what is there to an answer (Starlette)
    lists       the published lists as they are read back
    refusals    what cannot be answered, in the specification's form
    stream      a blob on its way to a client
    answers     what ranges, ETags, pages and filters ask for; pure

Sources: OCI distribution specification 1.1 and its error codes; RFC 9110 for the rest.
"""
