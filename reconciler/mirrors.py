"""mirrors.yaml -> Mirrors, or every problem with its line and column.

Three looks at a file, each of which goes on after a problem: the YAML (`document`), its shape by the schema, and then
what a schema cannot say, for every mirror whose shape is right. Reads the file and the environment, nothing else.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from reconciler.document import Document, Place, read_document, spell
from reconciler.errors import Malformed, MirrorsInvalid
from reconciler.layout import target_problem
from reconciler.oci import Digest, Platform, Repository, is_tag
from reconciler.selection import Exact, Glob, Pattern, Pinned, Regex, Semver, compile_range, compile_regex, matching
from reconciler.shape import check_shape, spelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class R2:
    account_id: str
    bucket: str
    jurisdiction: str
    public_url: str | None
    state_bucket: str | None


@dataclass(frozen=True)
class S3:
    bucket: str
    region: str | None
    endpoint_url: str | None
    public_url: str | None
    state_bucket: str | None


@dataclass(frozen=True)
class Folder:
    path: Path
    public_url: str | None


StoreConfig: TypeAlias = R2 | S3 | Folder


@dataclass(frozen=True)
class RegistryConfig:
    """How to reach one registry. `username_env` and `password_env` are names of variables, never the values."""

    username_env: str | None = None
    password_env: str | None = None
    plain_http: bool = False
    ca_file: Path | None = None
    max_connections: int | None = None


@dataclass(frozen=True)
class Mirror:
    """One entry of `mirrors`, defaults filled in. `platforms` None means all of them."""

    source: str
    target: str
    tags: tuple[Pattern, ...]
    exclude: tuple[Pattern, ...]
    immutable: tuple[Pattern, ...]
    platforms: tuple[Platform, ...] | None
    prune: bool
    retain: timedelta


@dataclass(frozen=True)
class Mirrors:
    """A whole mirrors.yaml.

    `registries` by host. `prune` is the default's, for targets that the file no longer names. `folder` is what relative
    paths in it start from. `sha256` is of the file's bytes.
    """

    store: StoreConfig
    registries: Mapping[str, RegistryConfig]
    mirrors: tuple[Mirror, ...]
    prune: bool
    folder: Path
    sha256: str


def load_mirrors(path: Path, environ: Mapping[str, str] | None) -> Mirrors:
    """Reads and checks a whole file. Raises `MirrorsInvalid` with every problem in it; nothing is fetched.

    `environ` fills in `${NAME}`; None checks a file where its variables are not set, and leaves them as they are.
    """
    document = read_document(path)
    folder = path.resolve().parent
    broken = check_shape(document)
    mirrors = tuple(_mirrors(document, broken))
    _check_targets(document, mirrors)
    registries = dict(_registries(document, broken, folder, environ))
    store = _store(document, broken, folder, environ)
    if document.problems or store is None:
        raise MirrorsInvalid(tuple(sorted(set(document.problems))))
    prune = document.value.get("defaults", {}).get("prune", True)
    sha256 = hashlib.sha256(document.body).hexdigest()
    return Mirrors(store, registries, tuple(mirror for _, mirror in mirrors), prune, folder, sha256)


# What a schema cannot say


def _touches(broken: set[Place], place: Place) -> bool:
    """Whether something is wrong at `place`, below it or above it."""
    return any(other[: len(place)] == place or place[: len(other)] == other for other in broken)


_PATTERNS = ("tags", "exclude", "immutable")


def _mirrors(document: Document, broken: set[Place]) -> Iterator[tuple[Place, Mirror]]:
    """The mirrors in which nothing is wrong; what is sound in the others is checked all the same."""
    top = document.value if isinstance(document.value, dict) else {}
    defaults = top.get("defaults")
    sound = _sound(defaults, ("defaults",), broken) if isinstance(defaults, dict) else {}
    for number, entry in enumerate(top["mirrors"] if isinstance(top.get("mirrors"), list) else []):
        place: Place = ("mirrors", number)
        if isinstance(entry, dict):
            before = len(document.problems)
            mirror = _mirror(document, place, {**sound, **_sound(entry, place, broken)})
            if mirror and len(document.problems) == before and not any(other[:2] == place for other in broken):
                yield place, mirror


def _sound(entry: dict[str, Any], place: Place, broken: set[Place]) -> dict[str, Any]:
    """The values of an entry in which nothing is wrong; of lists of patterns None stands for a broken one."""
    values = {}
    for key, value in entry.items():
        if key in _PATTERNS and isinstance(value, list):
            wrong = [_touches(broken, (*place, key, number)) for number in range(len(value))]
            values[key] = [None if bad else one for bad, one in zip(wrong, value, strict=True)]
        elif not _touches(broken, (*place, key)):
            values[key] = value
    return values


def _mirror(document: Document, place: Place, values: dict[str, Any]) -> Mirror | None:
    _check_referrers(document, place, values)

    def patterns(key: str) -> tuple[Pattern, ...]:
        entries = enumerate(values.get(key, []))
        found = [_pattern(document, (*place, key, n), one, pins=key == "tags") for n, one in entries if one is not None]
        return tuple(pattern for pattern in found if pattern)

    tags, exclude, immutable = (patterns(key) for key in _PATTERNS)
    platforms = _platforms(document, (*place, "platforms"), values.get("platforms", "all"))
    _check_contradictions(document, place, tags, exclude)
    if "source" not in values:
        return None
    source, target = _source(document, place, values)
    prune, retain = values.get("prune", True), _duration(values.get("retain", "7d"))
    return Mirror(source, target, tags, exclude, immutable, platforms, prune, retain)


def _check_referrers(document: Document, place: Place, values: dict[str, Any]) -> None:
    if values.get("referrers"):
        document.problem((*place, "referrers"), "this version cannot mirror referrers yet; write false or leave it out")


def _source(document: Document, place: Place, values: dict[str, Any]) -> tuple[str, str]:
    source, target = values["source"], values.get("target")
    if source.startswith("oci:"):
        if not source.removeprefix("oci:"):
            document.problem((*place, "source"), "names no folder; write for example oci:./images")
        if target is None:
            document.problem(place, "an image layout has no repository path of its own: add target")
            return source, ""
    else:
        try:
            repository = Repository.parse(source)
        except Malformed as error:
            document.problem((*place, "source"), str(error))
            return source, target or ""
        source, target = str(repository), target or repository.path
    problem = target_problem(target)
    if problem:
        where = (*place, "target") if "target" in values else (*place, "source")
        document.problem(where, f"{target[:90]!r} cannot be a target: {problem}")
    return source, target


def _pattern(document: Document, place: Place, entry: Any, *, pins: bool) -> Pattern | None:
    if isinstance(entry, str):
        return _name_or_pin(document, place, entry, pins=pins)
    kinds = [key for key in ("glob", "regex", "semver") if key in entry]
    if len(kinds) != 1:
        document.problem(place, "expected exactly one of glob, regex and semver; write several as several entries")
        return None
    for key in ("newest", "prereleases", "variant"):
        if key in entry and kinds != ["semver"]:
            document.problem((*place, key), f"goes with semver only, not with {kinds[0]}; remove it", at_key=True)
    text = entry[kinds[0]]
    match kinds[0]:
        case "glob":
            return Glob(text)
        case "regex":
            return _regex(document, (*place, "regex"), text)
        case _:
            return _semver(document, (*place, "semver"), entry)


def _name_or_pin(document: Document, place: Place, text: str, *, pins: bool) -> Pattern | None:
    tag, at, digest = text.partition("@")
    if not is_tag(tag):
        glob = f"; for a pattern write glob: {spelled(tag)}" if set(tag) & set("*?[") else ""
        document.problem(
            place, f"{tag[:90]!r} is not a tag: letters, digits and _ . - are, 128 at most, no . or - first{glob}"
        )
        return None
    if not at:
        return Exact(tag)
    if not pins:
        document.problem(place, f"a pin makes no sense here; write {tag}")
        return None
    try:
        return Pinned(tag, Digest.parse(digest))
    except Malformed as error:
        document.problem(place, str(error))
        return None


def _regex(document: Document, place: Place, text: str) -> Pattern | None:
    import re2

    try:
        compile_regex(text)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        document.problem(place, f"RE2 refuses it: {reason}; look-around and backreferences do not exist there")
        return None
    return Regex(text)


def _semver(document: Document, place: Place, entry: dict[str, Any]) -> Pattern | None:
    try:
        compile_range(entry["semver"])
    except ValueError:
        document.problem(
            place, f'{entry["semver"][:90]!r} is not a range of versions; write for example ">=3.18 <4", ^1.2 or 1.x'
        )
        return None
    return Semver(entry["semver"], entry.get("newest"), entry.get("prereleases", False), entry.get("variant", ""))


def _platforms(document: Document, place: Place, value: Any) -> tuple[Platform, ...] | None:
    if value == "all":
        return None
    found: dict[Platform, None] = {}
    for number, text in enumerate(value):
        try:
            found[Platform.parse(text)] = None
        except Malformed as error:
            document.problem((*place, number), f"{error}; write for example linux/arm64")
    return tuple(sorted(found))


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _duration(text: str) -> timedelta:
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})


def _check_contradictions(
    document: Document, place: Place, tags: tuple[Pattern, ...], exclude: tuple[Pattern, ...]
) -> None:
    pins: dict[str, Digest] = {}
    for pattern in tags:
        if isinstance(pattern, Pinned) and pins.setdefault(pattern.tag, pattern.digest) != pattern.digest:
            document.problem((*place, "tags"), f"{pattern.tag} is pinned to two digests; keep one")
        if isinstance(pattern, Exact | Pinned):
            removed = [one for one in exclude if pattern.tag in matching(one, [pattern.tag])]
            if removed:
                document.problem(
                    (*place, "tags"), f"{pattern.tag} is named here and excluded too; remove one of the two"
                )


def _check_targets(document: Document, mirrors: tuple[tuple[Place, Mirror], ...]) -> None:
    first: dict[str, Place] = {}
    for place, mirror in mirrors:
        earlier = first.setdefault(mirror.target, place)
        if earlier != place:
            line = document.written[earlier].line
            document.problem(
                place,
                f"target {mirror.target} is that of {spell(earlier)} in line {line} too; "
                "give one of them another target, or put their tags into one mirror",
            )


# Store and registries, where variables are filled in

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


def _filled(document: Document, place: Place, text: str, environ: Mapping[str, str] | None) -> str | None:
    """`text` with its variables filled in; None where one of them stays open."""
    open_ones = []

    def fill(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
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
    return None if open_ones else filled


_ACCOUNT = re.compile(r"[0-9a-f]{32}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def _store(
    document: Document, broken: set[Place], folder: Path, environ: Mapping[str, str] | None
) -> StoreConfig | None:
    """The store, None if its shape is wrong; what is sound in it is checked all the same."""
    entry = document.value.get("store") if isinstance(document.value, dict) else None
    values: dict[str, str] = {}
    for key, text in entry.items() if isinstance(entry, dict) else ():
        place: Place = ("store", key)
        if _touches(broken, place) or not isinstance(text, str):
            continue
        filled = _filled(document, place, text, environ)
        values[key] = text if filled is None else filled
        if filled is not None:
            _check_store_value(document, place, key, filled)
    if _touches(broken, ("store",)):
        return None
    match values["type"]:
        case "r2":
            return R2(
                values["account_id"],
                values["bucket"],
                values.get("jurisdiction", "default"),
                _base(values),
                values.get("state_bucket"),
            )
        case "s3":
            return S3(
                values["bucket"],
                values.get("region"),
                values.get("endpoint_url"),
                _base(values),
                values.get("state_bucket"),
            )
        case _:
            return Folder(folder / Path(values["path"]).expanduser(), _base(values))


def _base(values: Mapping[str, str]) -> str | None:
    url = values.get("public_url")
    return url.rstrip("/") if url else None


def _check_store_value(document: Document, place: Place, key: str, text: str) -> None:
    if key == "account_id" and not _ACCOUNT.fullmatch(text):
        document.problem(place, "expected 32 hex digits: the first part of the endpoint that R2 shows with a token")
    if key in ("bucket", "state_bucket") and not _BUCKET.fullmatch(text):
        document.problem(place, f"{text[:90]!r} is not a bucket's name: 3 to 63 lower-case letters, digits, - and .")
    if key in ("public_url", "endpoint_url") and not _is_url(text):
        document.problem(place, f"{text[:90]!r} is not a URL; write for example https://cr.example.com")


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(url.hostname) and not (url.username or url.query or url.fragment)


def _registries(
    document: Document, broken: set[Place], folder: Path, environ: Mapping[str, str] | None
) -> Iterator[tuple[str, RegistryConfig]]:
    entries = document.value.get("registries") if isinstance(document.value, dict) else None
    if not isinstance(entries, dict):
        return
    seen: dict[str, str] = {}
    for name, entry in entries.items():
        place: Place = ("registries", name)
        if _touches(broken, place):
            continue
        try:
            registry = Repository.parse(f"{name}/a/b").registry
        except Malformed:
            registry = ""
        if not registry or "/" in name or (registry == "docker.io" and "docker.io" not in name):
            document.problem(place, "expected a registry's host or host:port, as in ghcr.io", at_key=True)
            continue
        if seen.setdefault(registry, name) != name:
            document.problem(place, f"{name} and {seen[registry]} are the same registry; keep one", at_key=True)
        yield registry, _registry(document, place, entry, folder, environ)


def _registry(
    document: Document, place: Place, entry: dict[str, Any], folder: Path, environ: Mapping[str, str] | None
) -> RegistryConfig:
    for one, other in (("username_env", "password_env"), ("password_env", "username_env")):
        if one in entry and other not in entry:
            document.problem((*place, one), f"needs {other} beside it", at_key=True)
    ca_file = _filled(document, (*place, "ca_file"), entry["ca_file"], environ) if "ca_file" in entry else None
    return RegistryConfig(
        entry.get("username_env"),
        entry.get("password_env"),
        entry.get("plain_http", False),
        folder / Path(ca_file).expanduser() if ca_file else None,
        entry.get("max_connections"),
    )
