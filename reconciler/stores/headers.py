"""The headers that a store keeps with an object, and sends with it. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Headers:
    """The stored headers of an object. `no-transform` keeps an edge from compressing JSON and dropping its length.

    `content_language` is empty but for tags that carry their digest, see `target.digest_by_tag`.
    """

    content_type: str
    cache_control: str
    content_language: str = ""
