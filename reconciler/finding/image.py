"""Parses references to images, as clients read them. Pure."""

from __future__ import annotations

import re

from reconciler.errors import Malformed
from reconciler.frozen import Ordered
from reconciler.oci.spec import Digest, RepositoryName, is_tag
from reconciler.regex import expression

MAX_REFERENCE = 512
"""Characters. Names end at 255, tags at 128, and a digest has up to 136."""

_TAGGED = expression(r"(?P<name>.*?)(?::(?P<tag>[^:/@]*))?(?:@(?P<digest>.*))?", re.DOTALL)


class Image(Ordered):
    """A reference to an image, normalised: `alpine` is `docker.io/library/alpine` without a tag."""

    repository: RepositoryName
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Image:
        """Parses `[registry/]path[:tag][@digest]`. Raises `Malformed`."""
        if len(text) > MAX_REFERENCE:
            raise Malformed(f"image {text[:90]!r}", f"longer than {MAX_REFERENCE} characters")
        match = _TAGGED.fullmatch(text)
        assert match is not None
        name, tag, digest = match.groups()
        if tag is not None and not is_tag(tag):
            raise Malformed(f"image {text[:90]!r}", f"{tag[:90]!r} is not a valid tag")
        if digest is not None:
            Digest.parse(digest)
        return cls(RepositoryName.parse(name), tag, digest)

    @property
    def pulled_tag(self) -> str | None:
        """The tag that a client pulls: `latest` if there is neither a tag nor a digest."""
        return self.tag or (None if self.digest else "latest")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}{f'@{self.digest}' if self.digest else ''}"


def is_evident(text: str) -> bool:
    """Whether a text is a reference beyond doubt: it has a registry's host, and a tag or a digest."""
    first, slash, rest = text.partition("/")
    if not slash or not ("." in first or ":" in first) or not (":" in rest or "@" in rest):
        return False
    try:
        Image.parse(text)
    except Malformed:
        return False
    return True
