"""Translates the sync extension in zot's config.json."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed
from reconciler.imports import namespaces, rules
from reconciler.imports.drafts import Draft, Translation
from reconciler.imports.durations import every
from reconciler.imports.names import at_registry, host_named
from reconciler.imports.reading import WITHOUT_MEANING
from reconciler.mirrors.document import spell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.imports.reading import At

_OTHER = f"{WITHOUT_MEANING}: zot goes on with it itself"
KNOWN = {
    "distSpecVersion": _OTHER,
    "storage": _OTHER,
    "http": _OTHER,
    "log": _OTHER,
    "credentialsFile": "is not copied: name username_env and password_env under `registries`",
    "downloadDir": f"{WITHOUT_MEANING}; it is not needed",
    "certDir": "is not copied: name its certificates as ca_file, client_cert and client_key under `registries`",
    "tlsVerify": "certificates are always verified: name a ca_file under `registries`",
    "maxRetries": f"{WITHOUT_MEANING}: requests are repeated",
    "retryDelay": f"{WITHOUT_MEANING}: requests are repeated",
    "onlySigned": "is not translated: name the signers under `signed_by`",
    "onDemand": f"{WITHOUT_MEANING}: what is pulled on demand is not mirrored before",
    "credentialHelper": f"{WITHOUT_MEANING}: logins come from the environment, docker or the cloud",
    "preserveDigest": f"{WITHOUT_MEANING}: digests are always preserved",
    "syncTimeout": f"{WITHOUT_MEANING}; it is not needed",
}


def is_zot(value: Any) -> bool:
    """Returns whether a parsed file is zot's, with a sync extension."""
    extensions = value.get("extensions") if isinstance(value, dict) else None
    return isinstance(extensions, dict) and isinstance(extensions.get("sync"), dict)


def translate(files: Sequence[At]) -> Translation:
    """Translates files of zot's, in which zot itself is where the images go."""
    translation = Translation()
    for top in files:
        extensions = top.inner("extensions")
        sync = extensions.inner("sync") if extensions else None
        if sync and sync.flag("enable") is False:
            sync.at("enable").note("the extension is off; its repositories are translated all the same")
        for registry in sync.each("registries") if sync else ():
            _registry(translation, registry)
        top.reading.note_unread(KNOWN)
    return translation


def _registry(translation: Translation, registry: At) -> None:
    hosts = _hosts(registry)
    if not hosts:
        return
    if len(hosts) > 1:
        translation.registry(hosts[0], mirrors=hosts[1:])
    if registry.at("urls").at(0).text().startswith("http://"):
        translation.registry(hosts[0], plain_http=True)
    for key in ("tlsVerify", "onDemand", "onlySigned"):
        if registry.value.get(key) is (key == "tlsVerify"):
            registry.flag(key)
    settings: dict[str, Any] = {"referrers": True}
    interval = registry.text("pollInterval")
    if every(interval):
        settings["schedule"] = {"every": every(interval)}
    elif interval:
        registry.at("pollInterval").note(f"{interval[:40]!r} is not a time that mirrors.yaml can say; write e.g. 6h")
    _limits(translation, registry, hosts[0])
    before: list[tuple[At, str]] = []
    for content in registry.each("content"):
        prefix = content.needed("prefix").strip("/")
        _content(translation, content, (hosts[0], prefix), settings, before)
        before.append((content, prefix))


def _limits(translation: Translation, registry: At, host: str) -> None:
    concurrent, rate = registry.number("reqConcurrent"), registry.value.get("reqPerSec")
    if concurrent:
        translation.registry(host, max_connections=concurrent)
    if isinstance(rate, (int, float)) and 0.01 <= rate <= 100_000:
        registry.text("reqPerSec")
        translation.registry(host, rate=rate)


def _hosts(registry: At) -> list[str]:
    """The hosts of a registry, none if one of them is wrong."""
    urls = list(registry.items("urls"))
    hosts = [host_named(url.text()) for url in urls]
    for url, host in zip(urls, hosts, strict=True):
        if not host:
            url.problem(f"{url.text()[:90]!r} is not the URL of a registry")
    if not urls:
        registry.reading.document.problem(registry.place, "urls is missing")
    return hosts if all(hosts) else []


def _content(
    translation: Translation,
    content: At,
    place: tuple[str, str],
    settings: dict[str, Any],
    before: Sequence[tuple[At, str]],
) -> None:
    """Translates repositories. Those that an entry `before` has are not for this one: the first counts."""
    (host, prefix), destination = place, content.text("destination").strip("/")
    strip = content.flag("stripPrefix")
    tags = content.inner("tags")
    entry = _tags(tags) if tags else dict(rules.EVERYTHING)
    platforms = content.texts("platforms")
    if platforms:
        settings = {**settings, "platforms": list(platforms)}
    earlier = next((one for one, other in before if other == prefix or _has(other, prefix)), None)
    if earlier:
        content.note(f"has no repositories: {spell(earlier.place)} has them before")
        return
    try:
        source, end, own = _repositories(content, host, prefix, [other for _, other in before])
    except Malformed as error:
        content.at("prefix").problem(str(error))
        return
    except ValueError as error:
        content.note(str(error))
        return
    # zot trims what it strips, so that nothing but the destination is left of a name.
    stripped = end.replace("{repository}", "{name}") if own else ""
    path = f"{destination}/{stripped if strip and (destination or own) else end}".strip("/")
    if source and entry:
        translation.drafts.append(Draft(content, source, (entry,), path, settings={**settings, **own}))


def _repositories(content: At, host: str, prefix: str, before: Sequence[str]) -> tuple[str, str, dict[str, object]]:
    """The source of a prefix, its target before anything is stripped, and its keys as a namespace.

    Raises `Malformed`, and `ValueError` for a pattern of repositories that no namespace has.
    """
    if not re.search(r"[*?\[{]", prefix):
        return (at_registry(host, prefix) if prefix else ""), prefix, {}
    folder, stars = _folder(prefix)
    if folder is None:
        raise ValueError(f"no namespace has what {prefix[:90]!r} matches: name each repository that you need")
    source = namespaces.source_of(host, folder)
    excluded: list[str | None] = ["*/*"] if stars == "*" else []
    for other in before:
        inner, inner_stars = _folder(other)
        if inner_stars == "**":
            excluded += [namespaces.below(one, folder) for one in (f"{inner}/*", str(inner))]
        elif re.search(r"[*?\[{\\]", other):
            raise ValueError(f"no glob has what {other[:90]!r} before it matches: name each repository that you need")
    if folder and stars == "**" and folder not in before:
        content.note_beside(f"zot also mirrors the repository {folder} if there is one: name it as a mirror of its own")
    return source, "{repository}", namespaces.bounds(content, list(filter(None, excluded)))


def _folder(prefix: str) -> tuple[str | None, str]:
    """The path of a pattern that has everything below it, and its stars. The path is None for any other pattern."""
    match = re.fullmatch(r"(?:(?P<folder>[^*?\[{]+)/)?(?P<stars>\*\*?)", prefix)
    return (match["folder"] or "", match["stars"]) if match else (None, "")


def _has(pattern: str, prefix: str) -> bool:
    """Returns whether all that `prefix` names is what an earlier pattern has."""
    folder, stars = _folder(pattern)
    if folder is None:
        return False
    inner, _ = _folder(prefix)
    path = prefix if inner is None else inner
    if stars == "*":
        return inner is None and path.rpartition("/")[0] == folder and not re.search(r"[*?\[{]", prefix)
    return not folder or path == folder or path.startswith(f"{folder}/")


def _tags(tags: At) -> dict[str, Any] | None:
    regex, excluded = tags.text("regex"), tags.text("excludeRegex")
    exclude = [{"regex": rules.unanchored(excluded)}] if excluded else []
    if "regex" in tags and not regex:
        tags.at("regex").note("an empty expression chooses nothing")
        return None
    entry: dict[str, Any] = {"regex": rules.unanchored(regex)} if regex else dict(rules.EVERYTHING)
    if tags.flag("semver"):
        if regex:
            # Two expressions of one entry are alternatives; what the first leaves out is excluded instead.
            entry = {"semver": "* || >=10000", "prereleases": True, "variant": "*", **entry}
            exclude.append({"regex": rules.NOT_MASTERMINDS})
        else:
            entry = {"regex": rules.MASTERMINDS_VERSION}
    return {**entry, **({"exclude": exclude} if exclude else {})}
