"""The headers that a store keeps with an object, and sends with it. Pure."""

from __future__ import annotations

from reconciler.frozen import Frozen


class Headers(Frozen):
    """The stored headers of an object. `no-transform` keeps an edge from compressing JSON and dropping its length.

    `content_language` is empty but for tags that carry their digest, see `target.digest_by_tag`.
    """

    content_type: str
    cache_control: str
    content_language: str = ""


def headers_differ(found: Headers | None, expected: Headers) -> str | None:
    """Says how headers differ from those that are expected; None if they do not, or the store keeps none."""
    if found is None or found == expected:
        return None
    if found.content_type != expected.content_type:
        return f"expected the Content-Type {expected.content_type}, has {found.content_type or 'none'}"
    if found.cache_control != expected.cache_control:
        return f"expected the Cache-Control {expected.cache_control}, has {found.cache_control or 'none'}"
    return (
        f"expected no Content-Language but a tag's digest where edge.digest_by_tag is on, has {found.content_language}"
    )
