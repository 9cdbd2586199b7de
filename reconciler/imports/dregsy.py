"""Translates dregsy's configuration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed
from reconciler.imports import namespaces, rules
from reconciler.imports.drafts import Draft, Translation
from reconciler.imports.durations import every
from reconciler.imports.names import at_registry, host_named, parse_destination, parse_folder
from reconciler.imports.reading import WITHOUT_MEANING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.imports.drafts import Entry
    from reconciler.imports.reading import At

_OTHER = f"{WITHOUT_MEANING}; it is not needed"
KNOWN = {
    "relay": _OTHER,
    "skopeo": f"{WITHOUT_MEANING}: name certificates as ca_file, client_cert and client_key under `registries`",
    "docker": _OTHER,
    "dockerhost": _OTHER,
    "api-version": _OTHER,
    "lister": f"{WITHOUT_MEANING}: repositories are named",
    "watch": f"{WITHOUT_MEANING}: `r2mirror watch` takes over edits",
    "verbose": f"{WITHOUT_MEANING}: see --verbose",
    "auth": "is a credential and not copied: name username_env and password_env under `registries`",
    "auth-refresh": f"{WITHOUT_MEANING}: ECR's credentials come from the AWS environment",
    "skip-tls-verify": "certificates are always verified: name a ca_file under `registries`",
}
_REGEX = "regex:"


def is_dregsy(value: Any) -> bool:
    """Returns whether a parsed file is one of dregsy's."""
    return isinstance(value, dict) and isinstance(value.get("tasks"), list)


def translate(files: Sequence[At]) -> Translation:
    """Translates files of dregsy's."""
    translation = Translation()
    for top in files:
        for task in top.each("tasks"):
            _task(translation, task)
        top.reading.note_unread(KNOWN)
    return translation


def _task(translation: Translation, task: At) -> None:
    task.text("name")
    settings: dict[str, Any] = {}
    interval = task.number("interval")
    if interval and every(f"{interval}s"):
        settings["schedule"] = {"every": every(f"{interval}s")}
    hosts = [_host(task, key) for key in ("source", "target")]
    for mapping in task.each("mappings"):
        if all(hosts):
            _mapping(translation, mapping, (hosts[0], hosts[1]), dict(settings))


def _host(task: At, key: str) -> str:
    location = task.inner(key)
    if not location:
        task.reading.document.problem(task.place, f"{key} is missing")
        return ""
    if location.value.get("skip-tls-verify") is False:
        location.flag("skip-tls-verify")
    return location.needed("registry")


def _mapping(translation: Translation, mapping: At, hosts: tuple[str, str], settings: dict[str, Any]) -> None:
    source, target = mapping.needed("from"), mapping.text("to")
    platform = mapping.text("platform")
    if not source:
        return
    if platform and platform != "all":
        settings["platforms"] = [platform]
    elif not platform:
        mapping.at("from").note("all platforms are mirrored, where dregsy takes that of the machine it runs on")
    key = "from"
    try:
        if source.startswith(_REGEX) or target.startswith(_REGEX):
            repository, own = _several(mapping, hosts[0], source, target)
            settings |= own
            destination, place = parse_folder(f"{hosts[1]}/{target.strip('/')}")
            path = f"{place}{{repository}}"
        else:
            repository = at_registry(hosts[0], source)
            key = "to" if target else "from"
            destination, path, _ = parse_destination(f"{hosts[1]}/{(target or source).strip('/')}")
    except Malformed as error:
        mapping.at(key).problem(str(error))
        return
    except ValueError as error:
        mapping.note(str(error))
        return
    tags = _tags(mapping)
    if tags:
        translation.drafts.append(Draft(mapping, repository, tuple(tags), path, destination, settings))


def _several(mapping: At, host: str, source: str, target: str) -> tuple[str, dict[str, object]]:
    """The source and the keys of an expression for repositories. Raises `ValueError` if no namespace says the same."""
    glob = namespaces.glob_of(source.removeprefix(_REGEX).strip().removeprefix("^/"))
    folder = namespaces.folder_of(glob) if glob and source.startswith(_REGEX) else None
    if folder is None or target.startswith(_REGEX):
        raise ValueError("no namespace says what these expressions do: name each repository that you need")
    return namespaces.source_of(host_named(host) or host, folder), namespaces.bounds(mapping, [])


def _tags(mapping: At) -> list[Entry]:
    names: list[Entry] = []
    patterns: list[Entry] = []
    keep: list[At] = []
    listed = list(mapping.items("tags"))
    for one in listed:
        text = one.text()
        if text.startswith("keep:"):
            keep.append(one)
        elif text.startswith(("semver:", _REGEX)):
            patterns += _pattern(one, text)
        elif text.startswith("sha256:"):
            one.note("a digest without a tag cannot be mirrored; name a tag for it, e.g. 1.0@sha256:...")
        else:
            names.append(text)
    if not any(one.text().startswith(("semver:", _REGEX)) for one in listed) and not names:
        patterns = [rules.EVERYTHING]
    return [*names, *_kept(keep, patterns, names)]


def _pattern(one: At, text: str) -> list[Entry]:
    kind, _, rest = text.partition(":")
    rest = rest.strip()
    if kind == "regex":
        if rest.startswith("!"):
            return [{**rules.EVERYTHING, "exclude": [{"regex": rules.anchored(rest[1:])}]}]
        return [{"regex": rules.anchored(rest)}]
    try:
        return rules.blang_range(rest)
    except ValueError as error:
        one.note(f"the range is not translated: {error}")
        return []


def _kept(keep: list[At], patterns: list[Entry], names: list[Entry]) -> list[Entry]:
    """What the `keep:` rules leave of the tags that are not named."""
    for one in keep:
        rest = one.text().removeprefix("keep:").strip()
        count = re.fullmatch(r"latest\s+(\d{1,6})", rest)
        if count and int(count[1]):
            if len(patterns) > 1 or names:
                one.note("`newest` counts within each entry, where dregsy counts all tags together")
            else:
                one.note("`newest` counts versions, each with its variants, where dregsy counts tags")
            patterns = [{**entry, "newest": int(count[1])} for entry in patterns if isinstance(entry, dict)]
        elif rest.startswith("!"):
            excluded = {"regex": rules.anchored(rest[1:])}
            patterns = [
                {**entry, "exclude": [*entry.get("exclude", []), excluded]}
                for entry in patterns
                if isinstance(entry, dict)
            ]
        else:
            patterns = [_narrowed(one, entry, rules.anchored(rest)) for entry in patterns]
    return patterns


def _narrowed(one: At, entry: Entry, pattern: str) -> Entry:
    """An entry whose tags also match an expression."""
    assert isinstance(entry, dict)
    if "glob" in entry:
        return {**{key: value for key, value in entry.items() if key != "glob"}, "regex": pattern}
    if "semver" not in entry:
        one.note(f"is not applied to {str(entry.get('regex'))[:90]}: an entry cannot demand two expressions")
        return entry
    # Two expressions of one entry are alternatives; what the first leaves out is excluded instead.
    excluded = [*entry.get("exclude", []), {"regex": rules.NOT_THREE_NUMBERS}]
    return {**entry, "regex": pattern, "exclude": excluded}
