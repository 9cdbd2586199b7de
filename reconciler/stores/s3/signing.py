"""Signs a body by the SHA-256 that is known of it already: botocore would hash it once more.

botocore has no option for this, hence a signature version of our own, for the requests that S3's version 4 would sign.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from botocore.auth import AUTH_TYPE_MAPS, S3SigV4Auth

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_NAME = "s3v4-known-digest"
_CHECKSUM = "x-amz-checksum-sha256"


def sign_known_digests(client: S3Client) -> None:
    """Has `client` sign each PutObject that names its checksum by that checksum."""
    client.meta.events.register_first("choose-signer.s3.PutObject", _choose)  # type: ignore[arg-type]  # what this one returns counts


def _choose(signature_version: str, **_: object) -> str | None:
    # Not for what somebody has configured, e.g. the older signatures of some servers.
    return _NAME if signature_version in ("v4", "s3v4") else None


class _KnownDigest(S3SigV4Auth):
    def payload(self, request: Any) -> str:
        known = request.headers.get(_CHECKSUM)
        return base64.b64decode(known).hex() if known else str(super().payload(request))


AUTH_TYPE_MAPS[_NAME] = _KnownDigest
