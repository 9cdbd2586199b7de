"""Checksums of parts: over TLS a CRC32C in a header, where the server checks it.

It is a tenth of the work of the SHA-256 in a signature, and finds what TLS cannot: a byte that changes before the
encryption or after it, e.g. in a proxy. Never a trailer, which R2 refuses.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reconciler.stores.s3.signing import leave_parts_unsigned

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ALGORITHM = "CRC32C"
_FIELD = "ChecksumCRC32C"

_PIECE = 64 * 1024
"""Bytes that are copied at once: the library takes no bytearray, and a copy of a whole part would double its memory."""


class PartChecksums:
    """Knows whether a server checks the parts of uploads. Safe to share between threads.

    Until an answer shows that the server has heard of the checksum, parts are signed as well.
    """

    def __init__(self, client: S3Client) -> None:
        self._are_wanted = client.meta.endpoint_url.startswith("https://")
        self._are_checked = False
        leave_parts_unsigned(client, lambda: self._are_checked)

    def announced(self) -> Mapping[str, Any]:
        """Returns the parameters that begin an upload: S3 takes checksums of parts only if it knows of them then."""
        self._are_wanted = self._are_wanted and _is_fast()
        return {"ChecksumAlgorithm": _ALGORITHM} if self._are_wanted else {}

    def refused(self) -> None:
        """Notes that the server does not begin uploads with a checksum."""
        self._are_wanted = False

    def of(self, part: bytearray) -> Mapping[str, Any]:
        """Returns the parameters of a part."""
        return {_FIELD: _crc32c(part)} if self._are_wanted else {}

    def confirmed(self, answer: Mapping[str, Any]) -> str | None:
        """Notes whether the server knows the checksum, by its answer, and returns the one of a part."""
        found: str | None = answer.get(_FIELD)
        if found or answer.get("ChecksumAlgorithm") == _ALGORITHM:
            self._are_checked = True
        return found


def _crc32c(part: bytearray) -> str:
    # Not at the top: most runs send no part.
    from google_crc32c import extend

    value = 0
    with memoryview(part) as view:
        for start in range(0, len(view), _PIECE):
            value = extend(value, bytes(view[start : start + _PIECE]))
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def _is_fast() -> bool:
    """Whether the library has its C code here. In Python it takes far longer than a SHA-256."""
    from google_crc32c import implementation

    return bool(implementation == "c")
