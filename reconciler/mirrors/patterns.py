"""Which tags a mirror wants: patterns x the source's tag list -> chosen tags, each with the pattern that chose it.

Pure: no I/O, no clock. A pattern that a user can write cannot hang it: globs and regular expressions take linear time.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, assert_never

from reconciler.mirrors.versions import Version, parse_version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.oci.spec import Digest


@dataclass(frozen=True)
class Exact:
    """One tag by name."""

    tag: str


@dataclass(frozen=True)
class Pinned:
    """One tag at one digest: this digest or an error, whatever the tag points at upstream."""

    tag: str
    digest: Digest


@dataclass(frozen=True)
class Glob:
    """Shell-style: `*`, `?`, `[...]`; the whole tag, case-sensitive."""

    pattern: str


@dataclass(frozen=True)
class Regex:
    """RE2 syntax; the whole tag."""

    pattern: str


@dataclass(frozen=True)
class Semver:
    """Tags that are versions in `range`; of those the `newest` (None: all), counted for each variant apart.

    `variant` is a glob; the empty one takes only tags without a variant.
    """

    range: str
    newest: int | None = None
    prereleases: bool = False
    variant: str = ""


Pattern: TypeAlias = Exact | Pinned | Glob | Regex | Semver


@dataclass(frozen=True)
class Chosen:
    """A tag that a mirror wants, the pattern that chose it, and whether it is never asked for again."""

    tag: str
    pattern: Pattern
    immutable: bool


@dataclass(frozen=True)
class Tally:
    """How many tags a pattern, as mirrors.yaml spells it, has matched, and how many of those are not excluded."""

    pattern: str
    matched: int
    chosen: int


@dataclass(frozen=True)
class Selection:
    """The wanted tags in the order of their names, each once, and what each pattern has to do with it, as written."""

    chosen: tuple[Chosen, ...]
    tallies: tuple[Tally, ...]


def needs_listing(patterns: Iterable[Pattern]) -> bool:
    """Whether the source's tag list is needed to know what these patterns choose."""
    return not all(isinstance(pattern, Exact | Pinned) for pattern in patterns)


def select(
    tags: Iterable[Pattern], exclude: Iterable[Pattern], immutable: Iterable[Pattern], listed: Iterable[str]
) -> Selection:
    """What a mirror wants.

    Tags named exactly are wanted whether they are listed or not. Of several patterns that choose a tag, a pin is kept
    before an exact name, and that before the first of the others.
    """
    listed = set(listed)
    matched = [(pattern, matching(pattern, listed)) for pattern in tags]
    chosen: dict[str, Pattern] = {}
    for pattern, found in sorted(matched, key=lambda one: _weight(one[0])):
        for tag in found:
            chosen.setdefault(tag, pattern)
    excluded = {tag for pattern in exclude for tag in matching(pattern, chosen)}
    frozen = {tag for pattern in immutable for tag in matching(pattern, chosen)}
    return Selection(
        tuple(Chosen(tag, chosen[tag], tag in frozen) for tag in sorted(chosen.keys() - excluded)),
        tuple(Tally(spell_pattern(pattern), len(found), len(found - excluded)) for pattern, found in matched),
    )


def matching(pattern: Pattern, listed: Iterable[str]) -> set[str]:
    """The tags that one pattern chooses from those listed; an exact one chooses its own in any case."""
    match pattern:
        case Exact(tag) | Pinned(tag, _):
            return {tag}
        case Glob(glob):
            return {tag for tag in listed if fnmatchcase(tag, glob)}
        case Regex(regex):
            expression = compile_regex(regex)
            return {tag for tag in listed if expression.fullmatch(tag)}
        case Semver():
            return _newest(pattern, listed)
        case _:
            assert_never(pattern)


def spell_pattern(pattern: Pattern) -> str:
    """A pattern as mirrors.yaml spells it."""
    match pattern:
        case Exact(tag):
            return tag
        case Pinned(tag, digest):
            return f"{tag}@{digest}"
        case Glob(glob):
            return f'glob "{glob}"'
        case Regex(regex):
            return f'regex "{regex}"'
        case Semver():
            newest = f", newest {pattern.newest}" if pattern.newest else ""
            prereleases = ", with pre-releases" if pattern.prereleases else ""
            variant = f', variant "{pattern.variant}"' if pattern.variant else ""
            return f'semver "{pattern.range}"{newest}{prereleases}{variant}'
        case _:
            assert_never(pattern)


_REGEX_MEMORY = 64 * 1024
"""Bytes for one compiled expression: plenty for texts of at most 128 characters, and refused soon beyond that."""

_LEADING_ZEROS = re.compile(r"(?<![0-9A-Za-z])0+(?=[0-9])")


@lru_cache(maxsize=256)
def compile_regex(pattern: str) -> Any:
    """The compiled expression. Raises `re2.error` for what RE2 refuses, backreferences and look-around among it."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _REGEX_MEMORY
    return re2.compile(pattern, options=options)


@lru_cache(maxsize=256)
def compile_range(text: str) -> Any:
    """The range, in npm's syntax but for leading zeros, which tags such as `24.04` have too. Raises `ValueError`."""
    from semantic_version import NpmSpec

    try:
        return NpmSpec(_LEADING_ZEROS.sub("", text))
    except Exception as error:  # noqa: BLE001 the library answers text that it does not expect with errors of all kinds
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _weight(pattern: Pattern) -> int:
    return 0 if isinstance(pattern, Pinned) else 1 if isinstance(pattern, Exact) else 2


def _newest(pattern: Semver, listed: Iterable[str]) -> set[str]:
    variants: defaultdict[str, list[Version]] = defaultdict(list)
    for tag in set(listed):
        version = parse_version(tag)
        if version and _in_range(version, pattern):
            variants[version.variant].append(version)
    return {
        version.tag for versions in variants.values() for version in sorted(versions, reverse=True)[: pattern.newest]
    }


def _in_range(version: Version, pattern: Semver) -> bool:
    """The range looks at the first three numbers: a pre-release is in it if the release it leads up to is."""
    from semantic_version import Version as Semantic

    if version.prerelease and not pattern.prereleases:
        return False
    if not fnmatchcase(version.variant, pattern.variant):
        return False
    major, minor, patch, _ = version.numbers
    return compile_range(pattern.range).match(Semantic(major=major, minor=minor, patch=patch)) is True
