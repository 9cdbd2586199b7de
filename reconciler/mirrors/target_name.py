"""Makes the target of a mirror from its `target`, the `target_prefix` of its file and its source. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.regex import expression

if TYPE_CHECKING:
    import re

    from reconciler.sources.names import SourceName

_PLACEHOLDER = expression(r"\{(?P<name>[^{}]*)\}")

KNOWN = ("registry", "repository", "name")


class TargetError(ValueError):
    """A target that cannot be made; the message says why."""


def target_of(source: SourceName, target: str | None, prefix: str = "") -> str:
    """Returns the target of a mirror.

    target  as it is written, with placeholders; None: the source's path
    prefix  what goes before it, with placeholders

    Raises `TargetError`.
    """
    path = filled(target, source) if target else source.target
    if path is None:
        raise TargetError("is missing; this source has no repository path that it could come from")
    return f"{filled(prefix, source)}/{path}" if prefix else path


def filled(template: str, source: SourceName) -> str:
    """Fills in `{registry}`, `{repository}` and `{name}`, the last part of the repository. Raises `TargetError`."""

    def value(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in KNOWN:
            known = ", ".join(f"{{{one}}}" for one in KNOWN)
            raise TargetError(f"{{{name[:40]}}} is not a placeholder; known here: {known}")
        if name == "registry":
            if source.repository is None:
                raise TargetError(f"{{registry}} has no value for {source.text[:90]}, which is not at a registry")
            # A colon is not allowed in a path.
            return source.repository.registry.replace(":", "-")
        if source.target is None:
            raise TargetError(f"{{{name}}} has no value for {source.text[:90]}, which has no repository path")
        return source.target if name == "repository" else source.target.rpartition("/")[2]

    return _PLACEHOLDER.sub(value, template)


def joined(outer: str, inner: str) -> str:
    """Joins the prefixes of an including and an included file: a file does not leave that of the other."""
    return "/".join(one for one in (outer, inner) if one)
