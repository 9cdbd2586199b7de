"""`rename` of a mirror: the names that the tags of its source have in the store. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.oci.spec import is_tag
from reconciler.regex import expression

if TYPE_CHECKING:
    from reconciler.mirrors.patterns import Pattern

TAG, WITHOUT_V = "tag", "without_v"
"""The fields that every tag has: the tag itself, and the tag without the `v` of `v1.2`."""

_FIELD = expression(r"\{([A-Za-z0-9_]+)\}")
_V = expression(r"^[vV](?=[0-9])")


class Rename(Frozen):
    """A template for the names of tags, e.g. `{tag}-mirror`. Other fields are groups of the regexes under `tags`."""

    template: str

    def __str__(self) -> str:
        return self.template

    @cached_property
    def groups(self) -> frozenset[str]:
        """The groups of a regex that the template uses, by number or name."""
        return frozenset(_FIELD.findall(self.template)) - {TAG, WITHOUT_V}

    def problem(self) -> str | None:
        """Returns what is wrong with the template, None if it is valid."""
        if not is_tag(_FIELD.sub("x", self.template)):
            return (
                f"{self.template[:90]!r} does not make a valid tag: expected letters, digits, _ . and -, with fields "
                f"such as {{{TAG}}}, {{{WITHOUT_V}}}, or {{1}} for the first group of a regex"
            )
        return None

    def name(self, tag: str, patterns: Iterable[Pattern]) -> str:
        """Returns the name of a tag, which need not be a valid one. `patterns`: those under `tags`."""
        fields: Mapping[str, str] = {TAG: tag, WITHOUT_V: _V.sub("", tag)}
        if self.groups:
            found = (one.captured(tag) for one in patterns if self.groups <= one.groups)
            fields = {**next((one for one in found if one is not None), {}), **fields}
        return _FIELD.sub(lambda match: fields.get(match[1], ""), self.template)
