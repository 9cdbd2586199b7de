"""Buckets of Cloudflare R2 and of S3-compatible servers. The only package that imports boto3.

    opening    the `Store` that callers get, and from which boto3 is loaded when it is needed
    reading    small objects without boto3, e.g. the mirror index
    server     where a bucket is
    store      the `Store` by boto3: small objects, listings, removals
    multipart  long objects in parts, sent or copied by the server
    buffers    the memory that parts and bodies share
    bucket     what every request to one bucket has in common: retries, guards, errors
    client     boto3's client, set up for servers that are not Amazon's
    session    credentials, and the files that boto3 reads its service from
    signing    signatures without hashing a body once more
    checksums  checksums of parts, which take the place of a hash over TLS
    patience   which failures are retried, and for how long
    errors     what an error means to the user

R2 requires the following, and other servers accept it: no checksum trailers (`when_required`), so that every body is
sent plainly, with its SHA-256 in the signature or, over TLS, a CRC32C in a header; no `Expect: 100-continue`, which R2
never answers; parts of equal size.

A stream of up to `PART_SIZE` bytes is one PutObject, which carries the digest for the server to verify. A longer one is
a multipart upload: its parts are filled one after the other and sent by a pool of threads that all uploads of the store
share. Parts and bodies are filled in a few buffers that are reused, so that all uploads together never hold more than
`BUFFER_BYTES` (or one part, if a part has to be larger than that), however many threads there are. Beside them each
upload holds the chunk that came last.

A copy within the bucket is one CopyObject, or a multipart upload of parts that the server copies: r2mirror does not
download the bytes.

Retries are made here and nowhere else (boto3's are off), because a conditional write has to know about them: if the
first attempt was written but its answer lost, the precondition of the second fails. Until the server has answered for
the first time, failures that a wrong setting explains are not retried (`contact`).

Servers that resemble S3 are trusted no more than necessary: what an answer lacks is looked up before the caller relies
on it, and a web page in place of an object is an error, whatever its status.
"""
