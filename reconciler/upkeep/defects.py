"""What can be wrong with an object of the bucket. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.stores import Stored
    from reconciler.stores.headers import Headers


class DefectKind(StrEnum):
    MISSING = "missing"
    WRONG_SIZE = "wrong size"
    WRONG_BYTES = "wrong bytes"
    WRONG_HEADERS = "wrong headers"
    OUT_OF_STEP = "out of step"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Defect:
    """One object that is not as it should be.

    target  its repository, None if it belongs to none
    detail  what was expected and what was found
    """

    target: str | None
    key: str
    kind: DefectKind
    detail: str


def headers_differ(stored: Stored, expected: Headers) -> str | None:
    """Says how the headers of an object differ; None if they are as expected or the store keeps none."""
    found = stored.headers
    if found is None or found == expected:
        return None
    if found.content_type != expected.content_type:
        return f"expected the Content-Type {expected.content_type}, has {found.content_type or 'none'}"
    if found.cache_control != expected.cache_control:
        return f"expected the Cache-Control {expected.cache_control}, has {found.cache_control or 'none'}"
    return (
        f"expected no Content-Language but a tag's digest where edge.digest_by_tag is on, has {found.content_language}"
    )
