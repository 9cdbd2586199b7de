"""Signs bodies without hashing them once more, which botocore has no options for.

PutObject   by the SHA-256 that its checksum header names
UploadPart  over TLS, where the server checks a CRC32C: with an unsigned payload

Hence signature versions of our own, for the requests that S3's version 4 would sign. Without TLS every body is signed:
there the signature is all that a change on its way has to break.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from botocore.auth import AUTH_TYPE_MAPS, UNSIGNED_PAYLOAD, S3SigV4Auth

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

_KNOWN, _UNSIGNED = "s3v4-known-digest", "s3v4-unsigned-payload"


def sign_known_digests(client: S3Client) -> None:
    """Has `client` sign each PutObject that names its checksum by that checksum."""
    _choose(client, "PutObject", _KNOWN, lambda: True)


def leave_parts_unsigned(client: S3Client, is_checked: Callable[[], bool]) -> None:
    """Has `client` sign parts without their bytes, for as long as the server checks those by a checksum."""
    _choose(client, "UploadPart", _UNSIGNED, is_checked)


def _choose(client: S3Client, operation: str, name: str, applies: Callable[[], bool]) -> None:
    def choose(signature_version: str, **_: object) -> str | None:
        # Not for what is configured, e.g. the older signatures of some servers.
        return name if signature_version in ("v4", "s3v4") and applies() else None

    client.meta.events.register_first(f"choose-signer.s3.{operation}", choose)  # type: ignore[arg-type]  # it returns a name


class _KnownDigest(S3SigV4Auth):
    def payload(self, request: Any) -> str:
        known = request.headers.get("x-amz-checksum-sha256")
        return base64.b64decode(known).hex() if known else str(super().payload(request))


class _UnsignedPayload(S3SigV4Auth):
    def payload(self, request: Any) -> str:
        return UNSIGNED_PAYLOAD if request.url.startswith("https://") else str(super().payload(request))


AUTH_TYPE_MAPS.update({_KNOWN: _KnownDigest, _UNSIGNED: _UnsignedPayload})
