"""Where a bucket is."""

from __future__ import annotations

from reconciler.frozen import Frozen


class Server(Frozen):
    """Where a bucket is.

    scheme        how messages begin the bucket's name, e.g. `r2` for `r2://bucket`
    endpoint_url  the server's URL; None: boto3 derives it from the region
    region        None: boto3 takes it from the AWS configuration
    """

    scheme: str
    endpoint_url: str | None
    region: str | None
