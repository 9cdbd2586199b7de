"""The content of mirrors.yaml as values, with every default filled in. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field, fields, replace
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.errors import UsageError
from reconciler.frozen import Frozen
from reconciler.mirrors.patterns import Locked, Named, Pinned
from reconciler.oci.spec import Platform, RepositoryName, is_repository
from reconciler.sources.kinds import parse_source

if TYPE_CHECKING:
    from reconciler.access.config import TokenConfig
    from reconciler.edge.config import EdgeConfig
    from reconciler.mirrors.min_age import MinAge
    from reconciler.mirrors.notifiers import Notifier
    from reconciler.mirrors.patterns import Pattern
    from reconciler.mirrors.rename import Rename
    from reconciler.mirrors.schedule import Schedule
    from reconciler.signatures.signers import Signer
    from reconciler.sources.config import RegistryConfig
    from reconciler.stores.config import StoreConfig

DEFAULT_HISTORY = "400d"
DEFAULT_NAME = "default"
DEFAULT_REPOSITORIES = 100

EVERY = "*"
"""The place of the repositories' names in the source and the target of a namespace."""


class Mirror(Frozen):
    """One entry of `mirrors`, with the defaults filled in.

    tags       a tag is mirrored if one of these patterns chooses it
    exclude    tags that are not mirrored even if `tags` chooses them
    immutable  tags that are not resolved again once they are mirrored
    platforms  None: all
    prune      whether tags are removed once no pattern chooses them
    retain     how long a digest is kept after it lost its last tag
    signed_by  one of these signers must have signed an image; empty: no signature is needed
    referrers  whether signatures, SBOMs and the like are mirrored with their image
    referrer_types  globs of the artifact types of those; empty: all
    referrers_from  the repository that has them, and what `signed_by` reads; None: the source itself
    when_gone  what happens to a tag that the source no longer lists: `keep` or `prune`
    entry      the hash of the entry as it is written, without the defaults
    min_age    how long a digest has to have been seen under its tag before it is published; None: no time
    stores     the names of the stores that it goes to; empty: all
    schedule   when `watch` runs it; None: with the file
    rename     the names of its tags in the store; None: as at the source
    fallbacks  the sources that follow `source`, for what it does not have or when it fails
    """

    source: str
    target: str
    tags: tuple[Pattern, ...]
    exclude: tuple[Pattern, ...]
    immutable: tuple[Pattern, ...]
    platforms: tuple[Platform, ...] | None
    prune: bool
    retain: timedelta
    signed_by: tuple[Signer, ...] = ()
    referrers: bool = False
    when_gone: str = "keep"
    entry: str = field(default="", compare=False)
    min_age: MinAge | None = None
    referrer_types: tuple[str, ...] = ()
    referrers_from: str | None = None
    stores: tuple[str, ...] = ()
    schedule: Schedule | None = None
    rename: Rename | None = None
    fallbacks: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """All its sources, in the order in which they are asked."""
        return (self.source, *self.fallbacks)

    @property
    def repository(self) -> RepositoryName | None:
        """The source's name at its registry, None where it is not at one."""
        return _repository(self.source)

    @property
    def upstreams(self) -> tuple[RepositoryName, ...]:
        """The repositories at registries that it is mirrored from: its sources, and the one of its attachments."""
        names = (*self.sources, self.referrers_from or self.source)
        return tuple({name: None for name in map(_repository, names) if name})

    @cached_property
    def locked(self) -> Mapping[str, Locked]:
        """The tags that are to have the digests of mirrors.lock, by their names in the store; empty without it."""
        return {one.name or one.tag: one for one in self.tags if isinstance(one, Locked)}

    @cached_property
    def named(self) -> Mapping[str, Named]:
        """The tags that are named, by their names in the store, each with its pin if it has one."""
        # Pins last, so that a tag that is also named without one keeps its pin.
        names = [one for one in self.tags if isinstance(one, Named) and (not isinstance(one, Locked) or one.by_name)]
        return {self.name_of(one.tag): one for one in sorted(names, key=lambda one: isinstance(one, Pinned))}

    def name_of(self, tag: str) -> str:
        """Returns the name that a tag of the source has in the store. It need not be a valid one."""
        # Without the patterns, whose groups a template may use, mirrors.lock has the name.
        if self.locked:
            return self._locked_names.get(tag, tag)
        return self.rename.name(tag, self.tags) if self.rename else tag

    @cached_property
    def _locked_names(self) -> Mapping[str, str]:
        return {one.tag: name for name, one in self.locked.items()}


class Namespace(Mirror):
    """An entry whose source ends with `/*`: what it says holds for each repository there.

    exclude_repositories  globs of the names of repositories that are left out
    max_repositories      how many repositories it may bring
    """

    exclude_repositories: tuple[str, ...] = ()
    max_repositories: int = DEFAULT_REPOSITORIES

    def at(self, name: str) -> Mirror:
        """Returns the mirror of the repository of this name."""
        values = {one.name: getattr(self, one.name) for one in fields(Mirror)}
        ends = {key: values[key].replace(EVERY, name) for key in ("source", "target")}
        return Mirror(**{**values, **ends})

    def leaves_out(self, name: str) -> bool:
        """Returns whether `exclude_repositories` has the repository."""
        return any(fnmatchcase(name, glob) for glob in self.exclude_repositories)

    def from_source(self, source: str) -> Mirror | None:
        """Returns the mirror of a source; None if it is not in the namespace, or left out."""
        return self._named(source, self.source)

    def to_target(self, target: str) -> Mirror | None:
        """Returns the mirror that has a target; None if none can have it."""
        return self._named(target, self.target)

    def _named(self, text: str, pattern: str) -> Mirror | None:
        before, _, after = pattern.partition(EVERY)
        name = text.removeprefix(before).removesuffix(after)
        is_here = is_repository(name) and pattern.replace(EVERY, name) == text
        return self.at(name) if is_here and not self.leaves_out(name) else None


class Failed(Frozen):
    """A namespace whose repositories could not be listed. `reason`: one of `errors.REASONS`."""

    namespace: Namespace
    why: str
    reason: str


class Defaults(Frozen):
    """The values of a mirror that does not set its own; the fields mean what those of `Mirror` do."""

    exclude: tuple[Pattern, ...] = ()
    immutable: tuple[Pattern, ...] = ()
    platforms: tuple[Platform, ...] | None = None
    prune: bool = True
    retain: timedelta = timedelta(days=7)
    signed_by: tuple[Signer, ...] = ()
    referrers: bool = False
    when_gone: str = "keep"
    min_age: MinAge | None = None
    referrer_types: tuple[str, ...] = ()
    referrers_from: str | None = None
    stores: tuple[str, ...] = ()
    rename: Rename | None = None


class Mirrors(Frozen):
    """A whole mirrors.yaml, or what it declares for one of its `stores`.

    store       where the images go; of a file with several stores the first, until `targets` chooses
    registries  by host, or host:port
    defaults    also apply to targets of the mirror index that the file no longer names
    folder      where relative paths in the file start
    sha256      the hash of the file's bytes, and of those of the files that it includes
    name        tells the file from others with the same store
    history     how long earlier versions of the mirror index are kept
    stores      the stores by name; empty where the file has one `store`
    notifiers   who is notified of runs
    store_name  the name of `store` among them; None in the whole file, and where it has one `store`
    schedule    when `watch` runs the mirrors that have no schedule of their own; None: the file has none
    include     the patterns of the files that it includes
    namespaces  the entries for namespaces; `including` adds the mirrors of their repositories to `mirrors`
    failed      those of them that could not be listed
    access      the tokens of a private mirror, by name; empty: the mirror is public
    label       what tells it from other files of a call that have no name either; empty where it is the only one
    """

    store: StoreConfig
    registries: Mapping[str, RegistryConfig]
    mirrors: tuple[Mirror, ...]
    defaults: Defaults
    folder: Path
    sha256: str
    edge: EdgeConfig | None = None
    name: str = DEFAULT_NAME
    history: timedelta = timedelta(days=400)
    stores: Mapping[str, StoreConfig] = field(default_factory=dict)
    store_name: str | None = None
    notifiers: tuple[Notifier, ...] = ()
    schedule: Schedule | None = None
    include: tuple[str, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    failed: tuple[Failed, ...] = ()
    access: Mapping[str, TokenConfig] = field(default_factory=dict)
    label: str = ""

    @property
    def shown(self) -> str:
        """What the file is called in metrics, logs and notifications."""
        return self.label if self.label and self.name == DEFAULT_NAME else self.name

    @property
    def entries(self) -> tuple[Mirror, ...]:
        """All entries of the file, those for namespaces last."""
        return (*self.mirrors, *self.namespaces)

    @cached_property
    def _by_target(self) -> Mapping[str, Mirror]:
        return {mirror.target: mirror for mirror in self.mirrors}

    @cached_property
    def _named_sources(self) -> frozenset[str]:
        return frozenset(mirror.source for mirror in self.mirrors)

    def mirror_of(self, target: str, source: str | None = None) -> Mirror | None:
        """Returns the mirror of a target: the one of its own entry, else the one that a namespace has for it.

        source  where its images come from; None: not known

        A namespace has no mirror for a source with an entry of its own.
        """
        if target in self._by_target:
            return self._by_target[target]
        found = (one.to_target(target) for one in self.namespaces)
        free = (one for one in found if one and one.source not in self._named_sources)
        return next((one for one in free if source in (None, one.source)), None)

    def namespaced(self, source: str) -> Mapping[str, str]:
        """Returns the target that a namespace has for a source, with the source, as `including` takes them."""
        found = (one.from_source(source) for one in self.namespaces)
        return {one.target: source for one in found if one}

    def including(self, targets: Mapping[str, str]) -> Mirrors:
        """Returns the file with the mirrors that its namespaces have for these targets, given with their sources."""
        if not self.namespaces:
            return self
        found = (self.mirror_of(*one) for one in targets.items() if one[0] not in self._by_target)
        return replace(self, mirrors=(*self.mirrors, *(one for one in found if one)))

    @property
    def is_at_r2(self) -> bool:
        return self.store.is_at_r2

    @property
    def is_private(self) -> bool:
        """Whether clients of the store need a token."""
        if self.edge:
            return bool(self.access) and self.edge.hostname == urlsplit(self.store.public_url or "").hostname
        # Of several stores, the edge may be in front of another one, and this one is as public as it was.
        return bool(self.access) and not any(store.is_at_r2 for store in self.stores.values())

    @property
    def attached(self) -> dict[str, str]:
        """Returns the repositories that have what is attached to the images of others, by the name of those."""
        return {one.source: one.referrers_from for one in self.mirrors if one.referrers_from}

    @property
    def fallbacks(self) -> dict[str, tuple[str, ...]]:
        """Returns the sources that follow others, by the name of those."""
        return {one.source: one.fallbacks for one in self.mirrors if one.fallbacks}

    def targets(self, names: Sequence[str] = ()) -> tuple[Mirrors, ...]:
        """Returns what is declared for each store, or for those that are named, in the file's order.

        Raises `UsageError` for a name that the file does not have.
        """
        for name in names:
            if not self.stores:
                raise UsageError(f"--store {name[:90]}: mirrors.yaml has one store, without a name; leave out --store")
            if name not in self.stores:
                raise UsageError(f"--store {name[:90]}: no store has this name; mirrors.yaml has {self._names}")
        return tuple(self._at(name) for name in self.stores if not names or name in names) or (self,)

    def only_target(self, name: str | None = None) -> Mirrors:
        """Returns what is declared for the store `name`, or for the only one. Raises `UsageError` if there are more."""
        chosen = self.targets((name,) if name else ())
        if len(chosen) > 1:
            raise UsageError(f"mirrors.yaml has several stores: choose one with --store NAME, of {self._names}")
        return chosen[0]

    @property
    def _names(self) -> str:
        return ", ".join(self.stores)

    def _at(self, name: str) -> Mirrors:
        store = self.stores[name]
        return replace(
            self,
            store=store,
            store_name=name,
            mirrors=tuple(mirror for mirror in self.mirrors if name in (mirror.stores or self.stores)),
            namespaces=tuple(one for one in self.namespaces if name in (one.stores or self.stores)),
            failed=tuple(one for one in self.failed if name in (one.namespace.stores or self.stores)),
            # A plan that is saved for one store is not one for another.
            sha256=hashlib.sha256(f"{self.sha256} {name}".encode()).hexdigest(),
            # There is an edge only where exactly one store can have it.
            edge=self.edge if store.is_at_r2 else None,
        )

    def owns(self, target: str, owner: str | None) -> bool:
        """Returns whether a repository of the mirror index belongs to this file.

        One without an `owner` does if the file names it.
        """
        return owner == self.name or (owner is None and self.mirror_of(target) is not None)

    def retention(self) -> Callable[[str], timedelta]:
        """Returns a function from a target to how long it keeps a digest without tags."""
        return lambda target: (self.mirror_of(target) or self.defaults).retain

    def naming(self) -> Callable[[str], Collection[str]]:
        """Returns a function from a target to those of its tags that are named."""

        def named(target: str) -> Collection[str]:
            mirror = self.mirror_of(target)
            return mirror.named if mirror else ()

        return named


def _repository(source: str) -> RepositoryName | None:
    return parse_source(source).repository
