"""`mirrors` and `defaults` of mirrors.yaml -> mirrors with the defaults filled in."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.mirrors.document import spell
from reconciler.mirrors.min_age import INDEX, LOG, LONGEST, PUSH, MinAge
from reconciler.mirrors.model import EVERY, Defaults, Mirror, Namespace
from reconciler.mirrors.narrowing import widened
from reconciler.mirrors.patterns import Named, PatternError, Pinned, parse_pattern
from reconciler.mirrors.rename import Rename
from reconciler.mirrors.sections.schedule import read_schedule
from reconciler.mirrors.target_name import TargetError, joined, target_of
from reconciler.mirrors.text_values import duration, path
from reconciler.oci.docker_hub import DOCKER_HUB
from reconciler.oci.spec import Digest, Platform, is_tag
from reconciler.signatures.signers import Identity
from reconciler.sources.kinds import IN_NAMESPACE, parse_namespace, parse_source
from reconciler.target.layout import target_problem

if TYPE_CHECKING:
    from reconciler.mirrors.document import Document, KeyPath
    from reconciler.mirrors.patterns import Pattern
    from reconciler.signatures.signers import Signer
    from reconciler.sources.names import SourceName

Placed: TypeAlias = "Mapping[KeyPath, Pattern]"
"""Patterns by where they are written."""


class Settings(Frozen):
    """The settings that `defaults` and a mirror share, and where their patterns are written.

    excluded_in  the file that `exclude` is written in; None: in none
    bound        what an included file may only narrow: the defaults of the file that includes it
    prefix       what goes before the targets of all mirrors
    """

    exclude: Placed = field(default_factory=dict)
    immutable: Placed = field(default_factory=dict)
    others: Defaults = field(default_factory=Defaults)
    excluded_in: Document | None = None
    bound: Defaults | None = None
    prefix: str = ""

    @property
    def values(self) -> Defaults:
        return replace(self.others, exclude=tuple(self.exclude.values()), immutable=tuple(self.immutable.values()))

    @property
    def as_bound(self) -> Settings:
        """The same for an included file, which may only narrow them."""
        return replace(self, bound=self.others)


class Origin(Frozen):
    """What is the same for all mirrors of a source: where its attachments are, and which sources follow it."""

    attached: str | None
    fallbacks: tuple[str, ...]


class Taken(Frozen):
    """What earlier mirrors have, in this file and in others.

    targets     their targets
    origins     where the attachments of their sources are
    namespaces  those of them that are for namespaces
    """

    targets: dict[str, tuple[Document, KeyPath]] = field(default_factory=dict)
    origins: dict[str, tuple[Origin, Document, KeyPath]] = field(default_factory=dict)
    namespaces: list[tuple[Namespace, Document, KeyPath]] = field(default_factory=list)


Signers: TypeAlias = "Callable[[KeyPath, Any], tuple[Signer, ...]]"
"""Reads the value of a `signed_by` at a place."""


def read_settings(document: Document, place: KeyPath, base: Settings, signers: Signers) -> Settings:
    """Reads the valid settings at `place`; the others come from `base`."""
    said, before = document.sound(place), base.others
    referrers = said.get("referrers", before.referrers)
    others = Defaults(
        platforms=_platforms(document, (*place, "platforms"), said["platforms"])
        if "platforms" in said
        else before.platforms,
        prune=said.get("prune", before.prune),
        retain=duration(said["retain"]) if "retain" in said else before.retain,
        signed_by=signers((*place, "signed_by"), said["signed_by"]) if "signed_by" in said else before.signed_by,
        referrers=bool(referrers),
        referrer_types=_types(referrers) if "referrers" in said else before.referrer_types,
        referrers_from=_referrers_from(document, (*place, "referrers_from"), said["referrers_from"])
        if "referrers_from" in said
        else before.referrers_from,
        when_gone=said.get("when_gone", before.when_gone),
        min_age=_min_age(document, (*place, "min_age"), said["min_age"]) if "min_age" in said else before.min_age,
        stores=_stores(document, (*place, "stores"), said["stores"]) if "stores" in said else before.stores,
        rename=_rename(document, (*place, "rename"), said["rename"]) if "rename" in said else before.rename,
    )
    if base.bound and document.top:
        for key, wider in widened(base.bound, others):
            if key in said and not document.wrong((*place, key)):
                document.problem((*place, key), f"{wider} of {document.top.file}; an included file may only narrow it")
    return Settings(
        _patterns(document, (*place, "exclude"), said["exclude"]) if "exclude" in said else base.exclude,
        _patterns(document, (*place, "immutable"), said["immutable"]) if "immutable" in said else base.immutable,
        others,
        document if "exclude" in said else base.excluded_in,
        base.bound,
        joined(base.prefix, said.get("target_prefix", "")),
    )


Destinations: TypeAlias = "Callable[[str, str, tuple[str, ...]], str | None]"
"""Explains why a source cannot be mirrored to a target in the stores that are named; None if it can."""


def _referrers_from(document: Document, place: KeyPath, text: str) -> str | None:
    try:
        name = parse_source(text)
    except Malformed as error:
        document.problem(place, str(error))
        return None
    if name.repository is None:
        document.problem(place, f"{text[:90]!r} is not a repository at a registry; write e.g. ghcr.io/org/signatures")
    return name.text


def _types(referrers: Any) -> tuple[str, ...]:
    types = referrers.get("types") if isinstance(referrers, dict) else None
    return tuple(sorted({one for one in types if isinstance(one, str)})) if isinstance(types, list) else ()


def read_mirrors(
    document: Document,
    defaults: Settings,
    signers: Signers,
    problem_at: Destinations = lambda *_: None,
    taken: Taken | None = None,
) -> Iterator[Mirror]:
    """Yields the valid mirrors. In the others, every value that has the right shape is checked too.

    taken  what the mirrors of other files have, to which those of this one are added
    """
    entries = document.value.get("mirrors") if isinstance(document.value, dict) else None
    taken = taken or Taken()
    for number in range(len(entries) if isinstance(entries, list) else 0):
        place: KeyPath = ("mirrors", number)
        said = document.sound(place)
        settings = read_settings(document, place, defaults, signers)
        tags = _patterns(document, (*place, "tags"), said.get("tags", []))
        _check_contradictions(document, tags, settings)
        if settings.others.rename and not document.wrong((*place, "rename")):
            _check_names(document, tags, settings.others.rename)
        ends = _ends(document, place, said, defaults.prefix)
        fallbacks = tuple(_fallbacks(document, place, said))
        schedule = read_schedule(document, (*place, "schedule"), said["schedule"]) if "schedule" in said else None
        # One of its repositories stands for a namespace.
        sample = [end.replace(EVERY, "repository") for end in ends or ()]
        if ends and isinstance(said.get("min_age"), dict):
            _check_witnesses(document, place, sample[0], settings.others)
        if ends:
            _check_target(document, place, ends[1], taken, problem_at(sample[0], sample[1], settings.others.stores))
        if ends:
            origin = Origin(settings.others.referrers_from, fallbacks)
            _check_origin(document, place, ends[0], origin, taken)
        if ends and not document.wrong(place):
            values: dict[str, Any] = {**vars(settings.values), "schedule": schedule, "fallbacks": fallbacks}
            values["entry"] = _hash(said)
            if ends[0].endswith(IN_NAMESPACE):
                namespace = Namespace(*ends, tuple(tags.values()), **{**values, **_bounds(said)})
                _check_overlap(document, place, namespace, taken)
                yield namespace
            else:
                yield Mirror(*ends, tuple(tags.values()), **values)


def _bounds(said: Mapping[str, Any]) -> dict[str, Any]:
    """What only an entry for a namespace has."""
    bounds: dict[str, Any] = {key: said[key] for key in ("max_repositories",) if key in said}
    return {**bounds, "exclude_repositories": tuple(said.get("exclude_repositories", ()))}


def _check_overlap(document: Document, place: KeyPath, namespace: Namespace, taken: Taken) -> None:
    """Records that a repository can be in this namespace and in an earlier one."""
    for other, file, earlier in taken.namespaces:
        outer, inner = sorted((other, namespace), key=lambda one: len(one.source))
        if outer.from_source(inner.source.replace(EVERY, "repository")):
            rest = inner.source.removeprefix(outer.source.removesuffix(EVERY))
            advice = f"add {rest} to exclude_repositories of {outer.source}" if rest != EVERY else "keep only one"
            where = f"{spell(earlier)} on {file.line_of(earlier, document)}"
            document.problem((*place, "source"), f"{where} has repositories of {inner.source} too; {advice}")
    taken.namespaces.append((namespace, document, place))


def _hash(entry: Mapping[str, Any]) -> str:
    """Hashes an entry as it is written: neither its comments nor a new default of a later release change it."""
    return hashlib.sha256(json.dumps(entry, sort_keys=True, default=str).encode()).hexdigest()


def _ends(document: Document, place: KeyPath, said: Mapping[str, Any], prefix: str) -> tuple[str, str] | None:
    """The source and the target of a mirror, None if one of them is wrong."""
    if "source" not in said or document.spoiled((*place, "target")):
        return None
    where, first = _sources(place, said)[0]
    is_list = isinstance(said["source"], list)
    name = _namespace(document, place, first) if _names_all(first) and not is_list else _source(document, where, first)
    if name is None:
        return None
    if not name.text.endswith(IN_NAMESPACE):
        _check_no_bounds(document, place, said)
    try:
        return name.text, target_of(name, said.get("target"), prefix)
    except TargetError as error:
        document.problem((*place, "target"), str(error))
        return None


def _names_all(source: Any) -> bool:
    return isinstance(source, str) and source.endswith(IN_NAMESPACE)


def _namespace(document: Document, place: KeyPath, text: str) -> SourceName | None:
    """The source of an entry for a namespace, None if it is wrong."""
    if document.wrong((*place, "source")):
        return None
    try:
        return parse_namespace(text)
    except Malformed as error:
        document.problem((*place, "source"), str(error))
        return None


def _check_no_bounds(document: Document, place: KeyPath, said: Mapping[str, Any]) -> None:
    for key in ("exclude_repositories", "max_repositories"):
        if key in said:
            document.problem((*place, key), "is only valid with a source that ends with /*; remove it")


def _sources(place: KeyPath, said: Mapping[str, Any]) -> list[tuple[KeyPath, Any]]:
    """The sources of a mirror, each with its place in the file. There is at least one."""
    source, where = said.get("source"), (*place, "source")
    if not isinstance(source, list):
        return [(where, source)]
    return [((*where, number), one) for number, one in enumerate(source)]


def _source(document: Document, place: KeyPath, text: str) -> SourceName | None:
    """A source, None if its name is wrong."""
    if document.wrong(place):
        return None
    if _names_all(text):
        document.problem(place, f"{text[:90]} names repositories by /*, which has to be the only source; remove others")
        return None
    try:
        name = parse_source(text)
    except Malformed as error:
        document.problem(place, str(error))
        return None
    if name.path is not None:
        path(document, place, name.path, Path())
    return name


def _fallbacks(document: Document, place: KeyPath, said: Mapping[str, Any]) -> Iterator[str]:
    """The sources after the first."""
    first, *others = _sources(place, said)
    with suppress(Malformed):
        known = {parse_source(first[1]).text} if isinstance(first[1], str) else set()
        for where, text in others:
            name = _source(document, where, text)
            if name and name.text in known:
                document.problem(where, f"{name.text} is there already; remove one of the two")
            elif name:
                known.add(name.text)
                yield name.text


def _check_target(document: Document, place: KeyPath, target: str, taken: Taken, destination: str | None) -> None:
    """Records why this cannot be a target, or that an earlier mirror has it.

    `destination` is what is wrong with it at the registry that is the target.
    """
    where: KeyPath = (*place, "target")
    # Without a `target` of its own, the mirror has its source's path as target.
    if where not in document.written:
        where = (*place, "source")
    problem = target_problem(target.replace(EVERY, "repository", 1))
    names_all = _names_all(document.sound(place).get("source"))
    if names_all and target.count(EVERY) != 1:
        why = "has to contain the name of each repository once; write e.g. {repository}, or prom/{name}"
        document.problem(where, f"{target[:90]!r} {why}")
    elif EVERY in target and not names_all:
        document.problem(where, f"{target[:90]!r} cannot be a target: * is only for a source that ends with /*")
    elif problem:
        document.problem(where, f"{target[:90]!r} cannot be a target: {problem}")
    elif destination:
        document.problem(where, destination)
    file, earlier = taken.targets.setdefault(target, (document, place))
    if file is not document or earlier != place:
        document.problem(
            where,
            f"target {target[:90]} is also the target of {spell(earlier)} on {file.line_of(earlier, document)}; "
            "give one of them another target, or put their tags into one mirror",
        )


def _check_origin(
    document: Document,
    place: KeyPath,
    source: str,
    origin: Origin,
    taken: Taken,
) -> None:
    """Records that an earlier mirror of the same source has its attachments elsewhere, or other fallbacks."""
    first, file, earlier = taken.origins.setdefault(source, (origin, document, place))
    if first.fallbacks != origin.fallbacks:
        others = ", ".join(first.fallbacks) or "no other sources"
        document.problem(
            (*place, "source"),
            f"{spell(earlier)} on {file.line_of(earlier, document)} mirrors {source} too, followed by {others}; "
            "write the same for both",
        )
    if first.attached != origin.attached:
        named = first.attached
        document.problem(
            (*place, "referrers_from"),
            f"{spell(earlier)} on {file.line_of(earlier, document)} mirrors {source} too, with "
            f"{named or 'no referrers_from'}; write the same for both",
        )


def _patterns(document: Document, place: KeyPath, entries: list[Any]) -> Placed:
    """The valid patterns of a list. Only tags can be pinned."""
    found = {}
    for number, entry in enumerate(entries):
        inner: KeyPath = (*place, number)
        if not document.wrong(inner):
            pattern = _pattern(document, inner, entry, pins=place[-1] == "tags")
            if pattern:
                found[inner] = pattern
    return found


def _pattern(document: Document, place: KeyPath, entry: Any, *, pins: bool) -> Pattern | None:
    try:
        pattern = parse_pattern(entry)
    except PatternError as error:
        document.problem((*place, error.key) if error.key else place, error.message)
        return None
    if isinstance(pattern, Pinned) and not pins:
        document.problem(place, f"digests are not allowed here; use {pattern.tag}")
        return None
    return pattern


def _min_age(document: Document, place: KeyPath, value: Any) -> MinAge | None:
    """A waiting time, None for one of no length."""
    said: Mapping[str, Any] = {"age": value} if isinstance(value, str) else document.sound(place)
    age = duration(said.get("age", "0s"))
    if age > LONGEST:
        document.problem(place, f"{said['age']} is longer than a year; write e.g. 3d")
    exempt = _patterns(document, (*place, "except"), said.get("except", []))
    witnesses = tuple(said.get("seen_by", (INDEX,)))
    return MinAge(age, witnesses, tuple(exempt.values())) if age else None


def _check_witnesses(document: Document, place: KeyPath, source: str, settings: Defaults) -> None:
    """Records the witnesses of a mirror that can never say anything. Those of `defaults` may suit other mirrors."""
    repository, where = parse_source(source).repository, (*place, "min_age", "seen_by")
    seen_by = settings.min_age.seen_by if settings.min_age else ()
    if PUSH in seen_by and not (repository and repository.registry == DOCKER_HUB):
        document.problem(where, f"push is Docker Hub's date, and {source} is not at docker.io; remove it")
    if LOG in seen_by and not any(isinstance(one, Identity) for one in settings.signed_by):
        document.problem(where, "log needs signed_by with an identity; add it, or remove log")


def _stores(document: Document, place: KeyPath, names: list[Any]) -> tuple[str, ...]:
    """The names of stores, in the order of the file's `stores`."""
    # Stores are declared in one file only.
    declaring = document.top or document
    known = list(declaring.sound(("stores",)))
    if ("stores",) not in declaring.written:
        document.problem(place, "is only valid with several stores; remove it, or write stores: instead of store:")
        return ()
    for number, name in enumerate(names):
        if name not in known and not declaring.wrong(("stores",)):
            hint = f"the stores are {', '.join(known)}"
            document.problem((*place, number), f"{str(name)[:90]!r} is not the name of a store; {hint}")
    return tuple(name for name in known if name in names)


def _rename(document: Document, place: KeyPath, template: str) -> Rename | None:
    rename = Rename(template)
    problem = rename.problem()
    if problem:
        document.problem(place, problem)
    # A name that is as it was ends a rename of `defaults`.
    return None if problem or template == "{tag}" else rename


def _check_names(document: Document, tags: Placed, rename: Rename) -> None:
    """Records the tags that `rename` gives no valid name, or the name of another one, whatever the source lists."""
    named: dict[str, tuple[str, KeyPath]] = {}
    for place, pattern in tags.items():
        missing = ", ".join(f"{{{group}}}" for group in sorted(rename.groups - pattern.groups))
        if missing:
            example = f"; write e.g. regex: '({re.escape(pattern.tag)})'" if isinstance(pattern, Named) else ""
            document.problem(place, f"rename uses {missing}, and this entry has no regex with that group{example}")
        elif isinstance(pattern, Named):
            name = rename.name(pattern.tag, tags.values())
            if not is_tag(name):
                document.problem(place, f"rename makes {name[:140]!r} of {pattern.tag}, which is not a valid tag")
            other, first = named.setdefault(name, (pattern.tag, place))
            if other != pattern.tag:
                line = document.written[first].line
                why = f"rename makes {name} of both {other} on line {line} and {pattern.tag}"
                document.problem(place, f"{why}; remove one of the two, or change rename")


def _platforms(document: Document, place: KeyPath, value: Any) -> tuple[Platform, ...] | None:
    if value == "all":
        return None
    found: set[Platform] = set()
    for number, text in enumerate(value):
        if not document.spoiled((*place, number)):
            try:
                found.add(Platform.parse(text))
            except Malformed as error:
                document.problem((*place, number), f"{error}; write for example linux/arm64")
    return tuple(sorted(found))


def _check_contradictions(document: Document, tags: Placed, settings: Settings) -> None:
    named: defaultdict[str, list[KeyPath]] = defaultdict(list)
    pins: dict[str, tuple[Digest, KeyPath]] = {}
    for place, pattern in tags.items():
        if isinstance(pattern, Named):
            named[pattern.tag].append(place)
        if isinstance(pattern, Pinned):
            digest, first = pins.setdefault(pattern.tag, (pattern.digest, place))
            if digest != pattern.digest:
                line = document.written[first].line
                document.problem(place, f"{pattern.tag} is also pinned to another digest on line {line}; keep only one")
    for excluded, pattern in settings.exclude.items():
        # What e.g. `newest: 3` excludes depends on the source's list, which is not known here.
        if pattern.is_relative:
            continue
        for tag in pattern.matching(named) & named.keys():
            excluding = (settings.excluded_in or document).line_of(excluded, document)
            for place in named.pop(tag):
                document.problem(place, f"{tag} is named here and excluded on {excluding}; remove one of the two")
