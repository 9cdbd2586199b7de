"""Translates regsync's regsync.yml (regclient)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed
from reconciler.imports import namespaces, rules
from reconciler.imports.drafts import Draft, Translation
from reconciler.imports.durations import every
from reconciler.imports.names import (
    host_named,
    parse_destination,
    parse_folder,
    parse_reference,
    variable_in,
    with_variables,
)
from reconciler.imports.reading import WITHOUT_MEANING
from reconciler.oci.spec import is_repository, is_tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.imports.drafts import Entry
    from reconciler.imports.reading import At

_OF_A_RUN = "is a matter of each run: `r2mirror apply --help`"
KNOWN = {
    "parallel": _OF_A_RUN,
    "backup": f"{WITHOUT_MEANING}: `r2mirror restore` brings earlier digests back, without tags for them",
    "hooks": f"{WITHOUT_MEANING}; write to the notifiers under `notify`, or run commands after `r2mirror apply`",
    "mediaTypes": f"{WITHOUT_MEANING}: every kind of image and artifact is mirrored",
    "fastCheck": f"{WITHOUT_MEANING}: what is mirrored already is never fetched again",
    "forceRecursive": f"{WITHOUT_MEANING}: `r2mirror verify` compares what is mirrored",
    "includeExternal": f"{WITHOUT_MEANING}: layers that may not be distributed are never mirrored",
    "referrerSlow": f"{WITHOUT_MEANING}; it is not needed",
    "referrerTarget": f"{WITHOUT_MEANING}: attachments are in the repository of their image",
    "annotations": f"{WITHOUT_MEANING}: attachments are chosen by their artifact type alone",
    "blobLimit": f"{WITHOUT_MEANING}; it is not needed",
    "cacheCount": f"{WITHOUT_MEANING}; it is not needed",
    "cacheTime": f"{WITHOUT_MEANING}; it is not needed",
    "skipDockerConfig": f"{WITHOUT_MEANING}: logins come from `registries`, then from docker's",
    "userAgent": WITHOUT_MEANING,
    "retry": f"{WITHOUT_MEANING}: `r2mirror apply --wait-for-quota` waits for pulls",
    "hostname": f"{WITHOUT_MEANING}; if it is another host's name, write it in `source`",
    "regcert": "is not copied: save it as a file, and name that as ca_file under `registries`",
    "clientCert": "is not copied: save it as a file, and name that as client_cert under `registries`",
    "clientKey": "is a credential and not copied: save it as a file, and name that as client_key under `registries`",
    "user": "is a credential and not copied: name an environment variable as username_env under `registries`",
    "pass": "is a credential and not copied: name an environment variable as password_env under `registries`",
    "token": "is a credential and not copied: name environment variables under `registries`",
    "credHelper": "is not copied: the helpers in docker's configuration are used",
    "repoAuth": f"{WITHOUT_MEANING}; it is not needed",
    "scheme": f"{WITHOUT_MEANING}; write plain_http under `registries`",
}


def is_regsync(value: Any) -> bool:
    """Returns whether a parsed file is one of regsync's."""
    return isinstance(value, dict) and isinstance(value.get("sync"), list)


def translate(files: Sequence[At]) -> Translation:
    """Translates files of regsync's."""
    translation = Translation()
    for top in files:
        top.text("version")
        for creds in top.each("creds"):
            _registry(translation, creds)
        defaults = top.inner("defaults")
        schedule = _schedule(defaults) if defaults else None
        if schedule:
            translation.top["schedule"] = schedule
        for sync in top.each("sync"):
            _sync(translation, sync, _settings(defaults) if defaults else {}, defaults)
        top.reading.note_unread(KNOWN)
    return translation


def _registry(translation: Translation, creds: At) -> None:
    name = creds.needed("registry")
    host = host_named(name)
    if name and not host:
        creds.at("registry").problem(f"{name[:90]!r} is not a registry's host or host:port")
    if not host:
        return
    # They are read only if they name variables; otherwise they are reported.
    user, password = (variable_in(str(creds.value.get(key) or "")) for key in ("user", "pass"))
    if user and password:
        creds.text("user")
        creds.text("pass")
        translation.registry(host, username_env=user, password_env=password)
    _connection(translation, host, creds)


def _connection(translation: Translation, host: str, creds: At) -> None:
    tls = creds.text("tls")
    if tls == "disabled":
        translation.registry(host, plain_http=True)
    elif tls == "insecure":
        creds.at("tls").note("certificates are always verified: name a ca_file under `registries`")
    concurrent = creds.number("reqConcurrent")
    if concurrent:
        translation.registry(host, max_connections=concurrent)
    mirrors = list(creds.texts("mirrors"))
    if mirrors:
        translation.registry(host, mirrors=mirrors)
    rate = creds.value.get("reqPerSec")
    if isinstance(rate, (int, float)) and 0.01 <= rate <= 100_000:
        creds.text("reqPerSec")
        translation.registry(host, rate=rate)


def _schedule(at: At) -> dict[str, str] | None:
    cron, interval = at.text("schedule"), at.text("interval")
    if cron:
        return {"cron": cron}
    spelled = every(interval)
    if interval and not spelled:
        at.at("interval").note(f"{interval[:40]!r} is not a time that mirrors.yaml can say; write e.g. 30m")
    return {"every": spelled} if spelled else None


def _settings(at: At) -> dict[str, Any]:
    """The keys of a mirror that an entry or the defaults set."""
    settings: dict[str, Any] = {}
    referrers, tags = at.flag("referrers"), at.flag("digestTags")
    types = [one.text("artifactType") for one in at.each("referrerFilters")]
    if referrers or tags:
        settings["referrers"] = {"types": types} if referrers and types and all(types) else True
    if tags and not referrers:
        settings["referrers"] = {"types": ["application/vnd.dev.cosign.artifact.*"]}
    if referrers is False and not tags:
        settings["referrers"] = False
    origin = at.text("referrerSource")
    if origin:
        settings["referrers_from"] = origin
    return settings


def _sync(translation: Translation, sync: At, settings: dict[str, Any], defaults: At | None) -> None:
    settings = {**settings, **_settings(sync)}
    schedule = _schedule(sync)
    if schedule:
        settings["schedule"] = schedule
    _platforms(sync, settings)
    source, target, kind = sync.needed("source"), sync.needed("target"), sync.needed("type")
    if not (source and target and kind):
        return
    if kind not in ("image", "repository", "registry"):
        sync.at("type").problem(f"{kind[:90]!r} is not a type of regsync's: expected image, repository or registry")
    elif "{{" in source:
        sync.at("source").note("a template in a source is not translated: write the repository's name")
    elif "{{" in with_variables(target):
        sync.at("target").note("a template in a target is not translated: write the repository's name")
    elif kind == "registry":
        _whole_registry(translation, sync, (source, target), settings, defaults)
    else:
        _draft(translation, sync, (source, target, kind), settings, defaults)


def _draft(
    translation: Translation, sync: At, ends: tuple[str, str, str], settings: dict[str, Any], defaults: At | None
) -> None:
    key = "source"
    try:
        reference = parse_reference(ends[0])
        key = "target"
        destination, path, renamed = parse_destination(ends[1])
    except Malformed as error:
        sync.at(key).problem(str(error))
        return
    image = ends[2] == "image"
    tags = (reference.entry or "latest",) if image else tuple(_tags(sync))
    if image and not reference.tag and reference.digest:
        tags = (f"{renamed}@{reference.digest}",) if renamed else ()
        if not renamed:
            sync.note("a digest without a tag cannot be mirrored; name a tag for it")
    names = {reference.tag or "latest": renamed} if image and renamed and not reference.digest else {}
    if image and renamed and reference.digest:
        tags = (f"{renamed}@{reference.digest}",)
    _quota(translation, sync, defaults, reference.repository)
    if tags:
        translation.drafts.append(Draft(sync, reference.repository, tags, path, destination, settings, names))


def _whole_registry(
    translation: Translation, sync: At, ends: tuple[str, str], settings: dict[str, Any], defaults: At | None
) -> None:
    """Translates `type: registry`: all repositories of a registry that `repos` allows and does not deny."""
    repos = sync.inner("repos")
    allow, deny = (repos.texts("allow"), repos.texts("deny")) if repos else ((), ())
    host = host_named(ends[0])
    if not host:
        sync.at("source").problem(f"{ends[0][:90]!r} is not a registry's host or host:port")
        return
    try:
        destination, place = parse_folder(ends[1])
    except Malformed as error:
        sync.at("target").problem(str(error))
        return
    tags = tuple(_tags(sync))
    for pattern in allow or (".*",):
        try:
            source, path, own = _allowed(sync, host, pattern, deny)
        except ValueError as error:
            sync.note(str(error))
            continue
        if source:
            _quota(translation, sync, defaults, source)
            draft = Draft(sync, source, tags, f"{place}{path}", destination, {**settings, **own})
            translation.drafts.append(draft)


def _allowed(sync: At, host: str, pattern: str, deny: Sequence[str]) -> tuple[str, str, dict[str, object]]:
    """The source of what an expression allows, its target and its keys as a namespace. All of it may be denied.

    Raises `ValueError` if no namespace says the same.
    """
    if is_repository(pattern):
        return "" if denied(pattern, deny) else f"{host}/{pattern}", pattern, {}
    glob = namespaces.glob_of(pattern)
    folder = namespaces.folder_of(glob) if glob else None
    globs = {one: namespaces.glob_of(one) for one in deny}
    wrong = pattern if folder is None else next((one for one, glob in globs.items() if glob is None), None)
    if wrong is not None or folder is None:
        raise ValueError(f"no namespace says what {str(wrong)[:90]!r} does: name each repository that you need")
    excluded = [namespaces.below(glob, folder) for glob in globs.values() if glob]
    source = namespaces.source_of(host, folder)
    return source, "{repository}", namespaces.bounds(sync, list(filter(None, excluded)))


def _platforms(sync: At, settings: dict[str, Any]) -> None:
    platforms, platform = list(sync.texts("platforms")), sync.text("platform")
    if platform:
        sync.at("platform").note("the image index is kept, so that its digest stays the source's")
    if platforms or platform:
        settings["platforms"] = platforms or [platform]


def _quota(translation: Translation, sync: At, defaults: At | None, source: str) -> None:
    least = 0
    for at in (defaults, sync):
        limit = at.inner("ratelimit") if at else None
        least = (limit.number("min") if limit else None) or least
    if least:
        host = source.partition("/")[0]
        before = translation.registries.get(host, {}).get("quota_reserve", 0)
        translation.registry(host, quota_reserve=max(least, before))


def _tags(sync: At) -> list[Entry]:
    one = sync.inner("tags")
    sets = [*sync.each("tagSets"), *([one] if one else [])]
    entries = [entry for each in sets for entry in _entries(each)]
    return entries if any(map(_chooses, sets)) else [rules.EVERYTHING]


def _chooses(tags: At) -> bool:
    return any(tags.value.get(key) for key in ("allow", "deny", "semverRange"))


def _entries(tags: At) -> list[Entry]:
    """One set of rules. A tag has to be in a range, allowed and not denied."""
    allow, deny, ranges = tags.texts("allow"), tags.texts("deny"), list(tags.items("semverRange"))
    exclude: list[Entry] = [rules.name_or(pattern, rules.anchored) for pattern in deny]
    ranged = [entry for one in ranges if one.text() for entry in _ranged(one)]
    if any(one.text() for one in ranges):
        allowed = [rules.anchored(pattern.replace(".", "\\.") if is_tag(pattern) else pattern) for pattern in allow]
        return [_narrowed(tags, entry, allowed, exclude) for entry in ranged]
    names = [pattern for pattern in allow if is_tag(pattern) and not denied(pattern, deny)]
    patterns = [rules.anchored(pattern) for pattern in allow if not is_tag(pattern)]
    found: list[Entry] = [*names]
    if patterns:
        found += [{"regex": pattern, **({"exclude": exclude} if exclude else {})} for pattern in patterns]
    if not allow:
        found.append({**rules.EVERYTHING, **({"exclude": exclude} if exclude else {})})
    return found


def denied(tag: str, patterns: Sequence[str]) -> bool:
    """Returns whether one of regsync's expressions matches a tag."""
    from reconciler.regex import compile_regex

    try:
        return any(compile_regex(rules.anchored(pattern)).fullmatch(tag) for pattern in patterns)
    except ValueError:
        return False  # The expression is reported where the result is checked.


def _ranged(one: At) -> list[Entry]:
    try:
        return rules.regsync_range(one.text())
    except ValueError as error:
        one.note(f"the range is not translated: {error}")
        return []


def _narrowed(tags: At, entry: Entry, allowed: list[str], exclude: list[Entry]) -> Entry:
    assert isinstance(entry, dict)
    excluded = [*entry.get("exclude", []), *exclude]
    narrowed = {**entry, **({"exclude": excluded} if excluded else {})}
    if allowed and "semver" in narrowed:
        # Two expressions of one entry are alternatives; what the first leaves out is excluded instead.
        narrowed["regex"] = allowed
        narrowed["exclude"] = [*excluded, {"regex": r"V.*|.*_.*|v?[\d.]+[A-Za-z].*"}]
    elif allowed:
        tags.at("semverRange").note("whether `allow` matches what comes just before the upper bound is not checked")
    return narrowed
