"""mirrors.yaml -> Mirrors, or every problem with its line and column.

Three looks at a file, each of which goes on after a problem: the YAML (`document`), its shape by the schema, and then
what a schema cannot say, for every mirror whose shape is right. Reads the file and the environment, nothing else.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from reconciler.edge.config import HOSTNAME, ZONE_ID, EdgeConfig, hostname_problem
from reconciler.errors import Malformed, MirrorsInvalid
from reconciler.http.speed import parse_rate
from reconciler.mirrors.document import Document, Place, read_document, spell
from reconciler.mirrors.patterns import Named, Pattern, PatternError, Pinned, parse_pattern
from reconciler.mirrors.shape import check_shape
from reconciler.mirrors.signed_by import declared
from reconciler.mirrors.variables import login_problem, value_problem
from reconciler.oci.spec import Digest, Platform, Repository
from reconciler.sources.config import RegistryConfig
from reconciler.stores.config import ENDPOINT_WITH_BUCKET, R2, S3, Folder, base_url, is_r2, names_bucket, store_problem
from reconciler.target.layout import target_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from reconciler.signatures.signers import Signer
    from reconciler.stores.config import StoreConfig


@dataclass(frozen=True)
class Mirror:
    """One entry of `mirrors`, defaults filled in. `platforms` None means all; no `signed_by`: signed or not.

    `when_gone` is `keep` or `prune`: what becomes of a tag that the source does not list any more.
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

    @property
    def named(self) -> Mapping[str, Named]:
        """The tags that are named exactly, each with its pin where it has one."""
        names = [pattern for pattern in self.tags if isinstance(pattern, Named)]
        return {one.tag: one for one in sorted(names, key=lambda one: isinstance(one, Pinned))}


DEFAULT_NAME = "default"


@dataclass(frozen=True)
class Defaults:
    """What a mirror has that does not say otherwise; its fields mean what those of `Mirror` do."""

    exclude: tuple[Pattern, ...] = ()
    immutable: tuple[Pattern, ...] = ()
    platforms: tuple[Platform, ...] | None = None
    prune: bool = True
    retain: timedelta = timedelta(days=7)
    signed_by: tuple[Signer, ...] = ()
    referrers: bool = False
    when_gone: str = "keep"


@dataclass(frozen=True)
class Mirrors:
    """A whole mirrors.yaml.

    `registries` by host. `defaults` count for targets that the file does not name, too. `folder` is what relative paths
    in it start from. `sha256` is of the file's bytes. `name` tells it from other files that have the same store.
    """

    store: StoreConfig
    registries: Mapping[str, RegistryConfig]
    mirrors: tuple[Mirror, ...]
    defaults: Defaults
    folder: Path
    sha256: str
    edge: EdgeConfig | None = None
    name: str = DEFAULT_NAME

    @property
    def is_at_r2(self) -> bool:
        return is_r2(self.store)

    def owns(self, target: str, owner: str | None) -> bool:
        """Whether a repository of the mirror index is this file's; one without an `owner` is, if the file names it."""
        return owner == self.name or (owner is None and any(mirror.target == target for mirror in self.mirrors))

    def retention(self) -> Callable[[str], timedelta]:
        """Says of a target how long a digest of it that lost its last tag stays."""
        by_target = {mirror.target: mirror.retain for mirror in self.mirrors}
        return lambda target: by_target.get(target, self.defaults.retain)

    def naming(self) -> Callable[[str], Collection[str]]:
        """Says of a target which of its tags are named exactly."""
        by_target = {mirror.target: mirror.named for mirror in self.mirrors}
        return lambda target: by_target.get(target, {})


def load_mirrors(
    path: Path, environ: Mapping[str, str] | None, *, read_files: bool = True, for_clients: bool = False
) -> Mirrors:
    """Reads and checks a whole file. Raises `MirrorsInvalid` with every problem in it; nothing is fetched.

    `environ` fills in `${NAME}`; None checks a file where its variables are not set, and leaves them as they are.
    Without `read_files` the keys that `signed_by` names need not be there: for a file that is not where it belongs.
    `for_clients`: what nobody could pull from is a problem as well, although plan and apply can do without.
    """
    document = read_document(path)
    folder = path.resolve().parent
    check_shape(document)

    def signers(place: Place, value: Any) -> tuple[Signer, ...]:
        return declared(document, place, value, partial(_path, document, folder=folder), read_files=read_files)

    defaults = _settings(document, ("defaults",), _Settings(), signers)
    mirrors = tuple(_mirrors(document, defaults, signers))
    registries = dict(_registries(document, folder, environ))
    store = _store(document, folder, environ, for_clients=for_clients)
    edge = _edge(document, store)
    if edge and isinstance(store, R2):
        store = replace(store, digest_by_tag=edge.digest_by_tag)
    if document.problems or store is None:
        raise MirrorsInvalid(tuple(sorted(set(document.problems))))
    sha256 = hashlib.sha256(document.body).hexdigest()
    name = document.value.get("name", DEFAULT_NAME)
    return Mirrors(store, registries, mirrors, defaults.values, folder, sha256, edge, name)


# What a schema cannot say

Placed: TypeAlias = "Mapping[Place, Pattern]"
"""Patterns by where they are written."""


@dataclass(frozen=True)
class _Settings:
    """What `defaults` and a mirror can both say, and where its patterns are written."""

    exclude: Placed = field(default_factory=dict)
    immutable: Placed = field(default_factory=dict)
    others: Defaults = field(default_factory=Defaults)

    @property
    def values(self) -> Defaults:
        return replace(self.others, exclude=tuple(self.exclude.values()), immutable=tuple(self.immutable.values()))


Signers: TypeAlias = "Callable[[Place, Any], tuple[Signer, ...]]"
"""Makes signers of what `signed_by` says at a place."""


def _settings(document: Document, place: Place, base: _Settings, signers: Signers) -> _Settings:
    """What is soundly said at `place`, the rest from `base`."""
    said, before = document.sound(place), base.others
    others = Defaults(
        platforms=_platforms(document, (*place, "platforms"), said["platforms"])
        if "platforms" in said
        else before.platforms,
        prune=said.get("prune", before.prune),
        retain=_duration(said["retain"]) if "retain" in said else before.retain,
        signed_by=signers((*place, "signed_by"), said["signed_by"]) if "signed_by" in said else before.signed_by,
        referrers=said.get("referrers", before.referrers),
        when_gone=said.get("when_gone", before.when_gone),
    )
    return _Settings(
        _patterns(document, (*place, "exclude"), said["exclude"]) if "exclude" in said else base.exclude,
        _patterns(document, (*place, "immutable"), said["immutable"]) if "immutable" in said else base.immutable,
        others,
    )


def _mirrors(document: Document, defaults: _Settings, signers: Signers) -> Iterator[Mirror]:
    """The mirrors in which nothing is wrong; what is sound in the others is checked all the same."""
    entries = document.value.get("mirrors") if isinstance(document.value, dict) else None
    targets: dict[str, Place] = {}
    for number in range(len(entries) if isinstance(entries, list) else 0):
        place: Place = ("mirrors", number)
        said = document.sound(place)
        settings = _settings(document, place, defaults, signers)
        tags = _patterns(document, (*place, "tags"), said.get("tags", []))
        _check_contradictions(document, tags, settings.exclude)
        ends = _ends(document, place, said)
        if ends:
            _check_target(document, place, ends[1], targets)
        if ends and not document.wrong(place):
            yield Mirror(*ends, tuple(tags.values()), **vars(settings.values))


def _ends(document: Document, place: Place, said: Mapping[str, Any]) -> tuple[str, str] | None:
    """The source and the target of a mirror, None if one of them is wrong."""
    if "source" not in said or document.spoiled((*place, "target")):
        return None
    source, target = said["source"], said.get("target")
    if source.startswith("oci:"):
        path = source.removeprefix("oci:")
        if not path:
            document.problem((*place, "source"), "names no folder; write for example oci:./images")
        _path(document, (*place, "source"), path, Path())
        if target is None:
            document.problem((*place, "target"), "is missing; an image layout has no repository path of its own")
            return None
    else:
        try:
            repository = Repository.parse(source)
        except Malformed as error:
            document.problem((*place, "source"), str(error))
            return None
        source, target = str(repository), target or repository.path
    return source, target


def _check_target(document: Document, place: Place, target: str, targets: dict[str, Place]) -> None:
    """Notes why this cannot be a target, and that it is another mirror's already; `targets` are those so far."""
    where: Place = (*place, "target")
    if where not in document.written:
        where = (*place, "source")
    problem = target_problem(target)
    if problem:
        document.problem(where, f"{target[:90]!r} cannot be a target: {problem}")
    earlier = targets.setdefault(target, place)
    if earlier != place:
        line = document.written[earlier].line
        document.problem(
            where,
            f"target {target[:90]} is that of {spell(earlier)} in line {line} too; "
            "give one of them another target, or put their tags into one mirror",
        )


def _patterns(document: Document, place: Place, entries: list[Any]) -> Placed:
    """The patterns of a list in which nothing is wrong. Only tags can be pinned."""
    found = {}
    for number, entry in enumerate(entries):
        inner: Place = (*place, number)
        if not document.wrong(inner):
            pattern = _pattern(document, inner, entry, pins=place[-1] == "tags")
            if pattern:
                found[inner] = pattern
    return found


def _pattern(document: Document, place: Place, entry: Any, *, pins: bool) -> Pattern | None:
    try:
        pattern = parse_pattern(entry)
    except PatternError as error:
        document.problem((*place, error.key) if error.key else place, error.message)
        return None
    if isinstance(pattern, Pinned) and not pins:
        document.problem(place, f"digests are not allowed here; use {pattern.tag}")
        return None
    return pattern


def _platforms(document: Document, place: Place, value: Any) -> tuple[Platform, ...] | None:
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


LOWEST_SPEED = 1024
"""Bytes a second that a registry may be allowed to be as slow as."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _duration(text: str) -> timedelta:
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})


def _check_contradictions(document: Document, tags: Placed, exclude: Placed) -> None:
    named: defaultdict[str, list[Place]] = defaultdict(list)
    pins: dict[str, tuple[Digest, Place]] = {}
    for place, pattern in tags.items():
        if isinstance(pattern, Named):
            named[pattern.tag].append(place)
        if isinstance(pattern, Pinned):
            digest, first = pins.setdefault(pattern.tag, (pattern.digest, place))
            if digest != pattern.digest:
                line = document.written[first].line
                document.problem(place, f"{pattern.tag} is pinned to another digest in line {line}; keep one of them")
    for excluded, pattern in exclude.items():
        if pattern.is_relative:
            continue
        for tag in pattern.matching(named) & named.keys():
            line = document.written[excluded].line
            for place in named.pop(tag):
                document.problem(place, f"{tag} is named here and excluded in line {line}; remove one of the two")


def _speed(document: Document, place: Place, text: str) -> float | None:
    try:
        rate = parse_rate(text)
    except ValueError as error:
        document.problem(place, str(error))
        return None
    if rate < LOWEST_SPEED:
        document.problem(place, f"{text} is less than 1KiB/s, at which a layer of a GiB takes 12 days")
    return rate


# Store and registries, where variables are filled in

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


def _filled(
    document: Document, place: Place, text: str, environ: Mapping[str, str] | None, store: str | None = None
) -> str | None:
    """`text` with its variables filled in; None where one of them stays open, or may not be used there.

    `store` is the type of the store whose value it is, None for a value of a registry.
    """
    open_ones = []

    def fill(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        refusal = value_problem(name, store)
        if refusal:
            open_ones.append(name)
            document.problem(place, refusal)
            return match[0]
        if environ is not None and name in environ:
            return environ[name]
        if default is not None:
            return default
        open_ones.append(name)
        if environ is not None:
            document.problem(
                place, f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
            )
        return match[0]

    filled = _VARIABLE.sub(fill, text)
    if "${" in _VARIABLE.sub("", text):
        document.problem(place, f"{text[:90]!r} has a variable of another form than ${{NAME}} or ${{NAME:-default}}")
        return None
    return None if open_ones else filled


def _store(
    document: Document, folder: Path, environ: Mapping[str, str] | None, *, for_clients: bool
) -> StoreConfig | None:
    """The store, None if something is wrong with it; what is sound in it is checked all the same."""
    values: dict[str, str] = {}
    said = document.sound(("store",))
    for key, text in said.items():
        if isinstance(text, str):
            filled = _filled(document, ("store", key), text, environ, str(said.get("type", "s3")))
            values[key] = text if filled is None else filled
            problem = store_problem(key, filled, for_clients=for_clients) if filled is not None else None
            if problem:
                given = "" if filled == text else f"what {text[:90]} stands for "
                document.problem(("store", key), f"{given}{problem}")
    if not document.spoiled(("store", "endpoint_url")) and names_bucket(values):
        document.problem(("store", "endpoint_url"), ENDPOINT_WITH_BUCKET)
    path = _path(document, ("store", "path"), values.get("path", ""), folder)
    if document.wrong(("store",)):
        return None
    match values["type"]:
        case "r2":
            return R2(
                values["account_id"],
                values["bucket"],
                values.get("jurisdiction", "default"),
                base_url(values),
                values.get("state_bucket"),
            )
        case "s3":
            return S3(
                values["bucket"],
                values.get("region"),
                values.get("endpoint_url"),
                base_url(values),
                values.get("state_bucket"),
            )
        case _:
            return Folder(path, base_url(values))


# The edge, which stands in front of a store


def _edge(document: Document, store: StoreConfig | None) -> EdgeConfig | None:
    """The edge, None if there is none or something is wrong with it. `store` is None if something is wrong there."""
    said = document.sound(("edge",))
    if said and isinstance(store, S3 | Folder):
        document.problem(("edge",), "goes with a store of type r2 only; remove it, or change store.type", at_key=True)
    zone = said.get("zone")
    if zone is not None and not ZONE_ID.fullmatch(zone) and not HOSTNAME.fullmatch(zone):
        document.problem(
            ("edge", "zone"), f"{zone[:90]!r} is not a valid zone: expected a name such as example.com, or an id"
        )
    hostname = _hostname(document, said, store.public_url if isinstance(store, R2) else None)
    if document.wrong(("edge",)) or not (zone and hostname):
        return None
    return EdgeConfig(
        zone,
        hostname,
        said.get("min_tls"),
        said.get("location"),
        said.get("cache", True),
        said.get("digest_by_tag") == "experimental",
    )


def _hostname(document: Document, said: Mapping[str, Any], public_url: str | None) -> str | None:
    """The edge's hostname, None if it is not known or something is wrong with it."""
    place: Place = ("edge", "hostname")
    if document.spoiled(place) or not said:
        return None
    url = urlsplit(public_url) if public_url and "${" not in public_url else None
    hostname: str | None = said.get("hostname") or (url.hostname if url else None)
    if hostname is None:
        if not document.wrong(("store",)) and not public_url:
            document.problem(place, "is missing; write for example hostname: cr.example.com, or set store.public_url")
        return None
    problem = hostname_problem(hostname, said.get("zone", ""), url)
    if problem:
        document.problem(place, problem)
    return hostname


def _path(document: Document, place: Place, text: str, folder: Path) -> Path:
    """A path from `folder` on; `~` is the user's home."""
    try:
        return folder / Path(text).expanduser()
    except RuntimeError:
        document.problem(place, f"{text[:90]!r} begins with a home folder that is not known here; write the path out")
        return folder


def _registries(
    document: Document, folder: Path, environ: Mapping[str, str] | None
) -> Iterator[tuple[str, RegistryConfig]]:
    seen: dict[str, str] = {}
    for name in document.sound(("registries",)):
        place: Place = ("registries", name)
        said = document.sound(place)
        try:
            registry = Repository.parse(f"{name}/a/b").registry
        except Malformed:
            registry = ""
        if not registry or "/" in name or (registry == "docker.io" and "docker.io" not in name):
            document.problem(place, "expected a registry's host or host:port, as in ghcr.io", at_key=True)
        elif seen.setdefault(registry, name) != name:
            document.problem(place, f"{name} and {seen[registry]} are the same registry; keep one", at_key=True)
        for key in ("username_env", "password_env"):
            refusal = login_problem(said[key], registry or name) if key in said else None
            if refusal:
                document.problem((*place, key), refusal)
        ca_file = _filled(document, (*place, "ca_file"), said["ca_file"], environ) if "ca_file" in said else None
        yield (
            registry,
            RegistryConfig(
                said.get("username_env"),
                said.get("password_env"),
                said.get("plain_http"),
                _path(document, (*place, "ca_file"), ca_file, folder) if ca_file else None,
                said.get("max_connections"),
                _speed(document, (*place, "min_speed"), said["min_speed"]) if "min_speed" in said else None,
                _places(document, (*place, "redirects_to"), said.get("redirects_to", [])),
                _places(document, (*place, "token_servers"), said.get("token_servers", [])),
            ),
        )


def _places(document: Document, place: Place, entries: list[str]) -> tuple[str, ...]:
    """The hosts and networks of a list, in lower case."""
    for number, text in enumerate(entries):
        if not document.spoiled((*place, number)) and not _is_place(text):
            wrong = "is not a host, host:port or network; write e.g. 10.0.0.5, minio.example.com:9000 or 10.0.0.0/8"
            document.problem((*place, number), f"{text[:90]!r} {wrong}")
    return tuple(str(text).lower() for text in entries)


_HOST = re.compile(r"(https?://)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


def _is_place(text: str) -> bool:
    try:
        if "/" in text and "//" not in text:
            return bool(ipaddress.ip_network(text, strict=False))
        return _HOST.fullmatch(text) is not None and urlsplit(f"//{text.rpartition('/')[2]}").port != 0
    except ValueError:
        return False
