"""Buckets of Cloudflare R2 and of any S3-compatible server: the only package that imports botocore.

    store      the `Store`: small objects, listings, removals
    multipart  long objects in parts, sent or copied by the server
    buffers    the memory that parts and bodies share
    bucket     what every request to one bucket has in common: retries, guards, errors
    client     botocore's client, set up for servers that are not Amazon's
    session    credentials, and the files that botocore reads its service from
    patience   which failures are tried again, and how long
    errors     what an error means to the user

What R2 asks for, and other servers do not mind: no checksum trailers (`when_required`), so that every body is sent
plainly with its SHA-256 in the signature; no `Expect: 100-continue`, which R2 never answers; parts of equal size.

A stream of up to `PART_SIZE` bytes is one PutObject, which carries the digest for the server to check. A longer one is
a multipart upload: its parts are filled one after the other and sent by a pool of threads that all uploads of the store
share. Parts and bodies are filled in a few buffers that are used again and again, so that all uploads together never
hold more than `BUFFER_BYTES` (or one part, where a part has to be larger than that), however many threads there are;
beside them each upload holds the chunk that came last.

A copy within the bucket is one CopyObject, or a multipart upload of parts that the server copies: no byte passes here.

Retries are made here and nowhere else (botocore's are off), because a conditional write has to know of them: where the
first attempt was written but its answer lost, the second is told that the precondition fails. Before the server has
answered anything, what a wrong setting explains is not tried again (`contact`).

Servers that resemble S3 are not believed more than needs be: what an answer lacks is looked up before the caller builds
on it, and a web page in the place of an object is an error, whatever its status.
"""
