"""Translates flux-mirror's configuration (mirror.fluxcd.io)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed
from reconciler.imports import rules
from reconciler.imports.drafts import Draft, Translation
from reconciler.imports.durations import every
from reconciler.imports.names import host_named, parse_destination, parse_reference
from reconciler.imports.reading import WITHOUT_MEANING
from reconciler.regex import expression
from reconciler.sources import in_helm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.imports.drafts import Entry
    from reconciler.imports.reading import At

KNOWN = {
    "hosts": "is not copied: name username_env and password_env under `registries`, or log in with docker or the cloud",
    "maxChunkSize": f"{WITHOUT_MEANING}; it is not needed",
    "provider": f"{WITHOUT_MEANING}: ECR, GAR and ACR are recognised by their names",
    "credential": "is not copied: name username_env and password_env under `registries`",
    "tls": "is not copied: name ca_file, client_cert and client_key under `registries`",
    "verify": "is not translated: name the signers under `signed_by`",
}
_API = expression(r"mirror\.(?:plugin\.)?fluxcd\.io/")


def is_flux_mirror(value: Any) -> bool:
    """Returns whether a parsed file is one of flux-mirror's."""
    return isinstance(value, dict) and bool(_API.match(str(value.get("apiVersion"))))


def translate(files: Sequence[At]) -> Translation:
    """Translates files of flux-mirror's."""
    translation = Translation()
    for top in files:
        top.text("apiVersion")
        top.text("kind")
        for host in top.each("hosts"):
            name = host.needed("host")
            if name and not host_named(name):
                host.at("host").problem(f"{name[:90]!r} is not a registry's host or host:port")
        for artifact in top.each("artifacts"):
            _artifact(translation, artifact)
        for chart in top.each("charts"):
            _chart(translation, chart)
        top.reading.note_unread(KNOWN)
    return translation


def _artifact(translation: Translation, artifact: At) -> None:
    settings: dict[str, Any] = {}
    if artifact.flag("includeReferrers"):
        settings["referrers"] = True
    verify = artifact.inner("verify")
    if verify:
        _verified(verify, settings)
    selector = artifact.inner("selector")
    entry = _selected(selector) if selector else None
    if not selector:
        artifact.reading.document.problem(artifact.place, "selector is missing")
    _draft(translation, artifact, (artifact.needed("source"), artifact.needed("destination")), entry, settings)


def _draft(
    translation: Translation, at: At, ends: tuple[str, str], entry: dict[str, Any] | None, settings: dict[str, Any]
) -> None:
    if not at.flag("overwrite"):
        settings["immutable"] = [rules.EVERYTHING]
    key = "source"
    try:
        repository = _repository(ends[0]) if ends[0] else ""
        key = "destination"
        destination, path, _ = parse_destination(ends[1]) if ends[1] else (None, "", "")
    except Malformed as error:
        at.at(key).problem(str(error))
        return
    if repository and destination and entry:
        translation.drafts.append(Draft(at, repository, (entry,), path, destination, settings))


def _repository(source: str) -> str:
    if source.startswith(in_helm.PREFIX):
        return in_helm.parse(source).text
    return parse_reference(source).repository


def _chart(translation: Translation, chart: At) -> None:
    name, source, target = chart.needed("name"), chart.needed("source"), chart.needed("destination")
    is_classic = source.startswith(("http://", "https://"))
    at = f"{in_helm.PREFIX}{source.rstrip('/')}//{name}" if is_classic else f"{source.rstrip('/')}/{name}"
    limit = chart.number("limit")
    entry = _versions(chart, "version", chart.text("version") or "*")
    if entry and limit != 0:
        entry = _newest(entry, limit or 1)
    if name and source and target:
        _draft(translation, chart, (at, f"{target.rstrip('/')}/{name}"), entry, {})


def _verified(verify: At, settings: dict[str, Any]) -> None:
    provider, age = verify.text("provider"), verify.text("minAge")
    if provider != "cosign":
        verify.at("provider").note(f"{provider[:40]!r} is not a kind of signature that is verified")
    signers = [
        {"identity_regex": rules.unanchored(one.needed("subject")), "issuer": one.needed("issuer")}
        for one in verify.each("matchOIDCIdentity")
    ]
    if signers and provider == "cosign":
        settings["signed_by"] = signers
    if every(age) and signers:
        settings["min_age"] = {"age": every(age), "seen_by": ["log"]}
    elif age:
        verify.at("minAge").note("is not translated: write min_age")


def _selected(selector: At) -> dict[str, Any] | None:
    order, limit = selector.text("sortBy") or "semver", selector.number("limit")
    if order not in ("semver", "alphabetical", "numerical"):
        selector.at("sortBy").problem(f"{order[:40]!r} is not one of semver, alphabetical and numerical")
        return None
    regex = selector.inner("regex")
    pattern, extracted = _pattern(regex) if regex else ("", "")
    entry = _ranged(selector, order)
    if entry is None:
        return None
    if pattern:
        entry = _matched(selector, entry, pattern)
    elif order == "numerical":
        # A tag that is not a number is passed over.
        entry = {**entry, "regex": r"\d+(?:\.\d+)?"}
    entry = entry or dict(rules.EVERYTHING)
    return entry if limit == 0 else _limited(selector, entry, order, limit or 1, captured=bool(extracted))


def _ranged(selector: At, order: str) -> dict[str, Any] | None:
    """The versions that a selector takes, an empty entry if it takes more than versions, None if it is wrong."""
    range_ = selector.text("semver")
    if range_:
        return _versions(selector, "semver", range_)
    return {"semver": "* || >=10000", **_suffixed()} if order == "semver" else {}


def _limited(selector: At, entry: dict[str, Any], order: str, limit: int, *, captured: bool) -> dict[str, Any]:
    if order != "semver":
        return {**entry, "newest": limit, "order": "text" if order == "alphabetical" else "number"}
    if entry.get("prereleases"):
        selector.note_beside("`newest` counts versions, each with its variants, where Flux counts tags")
    return {**entry, "newest": limit} if captured else _newest(entry, limit)


def _newest(entry: dict[str, Any], limit: int) -> dict[str, Any]:
    # Flux counts tags: 3.20 takes a place beside 3.20.0. As versions, 3.20 would be a name of the newest 3.20.N.
    return {**entry, "newest": limit, **({} if entry.get("prereleases") else {"order": "number"})}


def _pattern(regex: At) -> tuple[str, str]:
    """An expression, in which only the group that orders the tags captures, and that group's name."""
    pattern, extract = regex.needed("pattern"), regex.text("extract")
    name = re.fullmatch(r"\$\{?(\w+)\}?", extract)
    if extract and not name:
        regex.at("extract").note("only one group can order the tags, e.g. $version")
    return rules.unanchored(pattern, name[1] if name else ""), name[1] if name else ""


def _matched(selector: At, entry: dict[str, Any], pattern: str) -> dict[str, Any]:
    if not entry:
        return {"regex": pattern}
    # Two expressions of one entry are alternatives; what the first leaves out is excluded instead.
    shape = rules.NOT_MASTERMINDS if entry.get("prereleases") else rules.NOT_PLAIN
    captures = "(" in re.sub(r"\\.|\(\?", "", pattern)
    exclude: list[Entry] = [] if captures else [{"regex": shape}]
    if captures:
        selector.at("regex").note("what the group captures is compared as r2mirror compares versions")
    return {**entry, "regex": pattern, **({"exclude": exclude} if exclude else {})}


def _suffixed() -> dict[str, Any]:
    return {"prereleases": True, "variant": "*", "regex": rules.MASTERMINDS_VERSION}


def _versions(at: At, key: str, text: str) -> dict[str, Any] | None:
    try:
        entry = rules.masterminds(text)
    except ValueError as error:
        at.at(key).problem(f"{text[:90]!r} is not a valid range of versions: {error}")
        return None
    if not rules.is_exact(entry):
        at.at(key).note("Flux compares every suffix as a pre-release: check with `r2mirror tags`")
    return entry
