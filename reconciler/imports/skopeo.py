"""Translates the YAML files of `skopeo sync`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed
from reconciler.imports import rules
from reconciler.imports.drafts import Draft, Translation
from reconciler.imports.names import at_registry
from reconciler.oci.spec import is_tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.imports.drafts import Entry
    from reconciler.imports.reading import At

_IMAGES = ("images", "images-by-tag-regex", "images-by-semver")
_KEYS = {*_IMAGES, "credentials", "tls-verify", "cert-dir"}
KNOWN = {
    "credentials": "are not copied: name environment variables as username_env and password_env under `registries`",
    "cert-dir": "is not copied: name its certificates as ca_file, client_cert and client_key under `registries`",
    "tls-verify": "certificates are always verified: name a ca_file under `registries`, or plain_http: true for http",
}


def is_skopeo(value: Any) -> bool:
    """Returns whether a parsed file is one of `skopeo sync`."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(one, dict) and set(one) & set(_IMAGES) for one in value.values())
    )


def translate(files: Sequence[At]) -> Translation:
    """Translates files of `skopeo sync`, which do not say where the images go."""
    translation = Translation()
    for top in files:
        for host in top.keys():  # noqa: SIM118 it is not a dict
            registry = top.inner(host)
            if registry:
                _registry(translation, host, registry)
        top.reading.note_unread(KNOWN)
    return translation


def _registry(translation: Translation, host: str, registry: At) -> None:
    if registry.value.get("tls-verify") is True:
        registry.flag("tls-verify")
    for key in _IMAGES:
        images = registry.inner(key)
        for name in images.keys() if images else ():
            assert images
            tags = _named(images, name) if key == "images" else _matching(images, name, key)
            _draft(translation, host, name, images.at(name), tags)


def _draft(translation: Translation, host: str, name: str, at: At, tags: Sequence[Entry]) -> None:
    try:
        source = at_registry(host, name)
    except Malformed as error:
        at.problem(str(error))
        return
    if tags:
        translation.drafts.append(Draft(at, source, tuple(tags)))


def _named(images: At, name: str) -> list[Entry]:
    found: list[Entry] = []
    listed = list(images.items(name))
    for one in listed:
        tag = one.text()
        if tag.startswith("sha256:"):
            one.note("a digest without a tag cannot be mirrored; name a tag for it, e.g. 1.0@sha256:...")
        elif is_tag(tag):
            found.append(tag)
        else:
            one.problem(f"{tag[:90]!r} is not a valid tag")
    return found if listed else [rules.EVERYTHING]


def _matching(images: At, name: str, key: str) -> list[Entry]:
    text = images.text(name)
    if key == "images-by-tag-regex":
        return [{"regex": rules.unanchored(text)}]
    try:
        entry = rules.masterminds(text)
    except ValueError as error:
        images.at(name).problem(f"{text[:90]!r} is not a valid range of versions: {error}")
        return []
    if not rules.is_exact(entry):
        images.at(name).note("skopeo compares every suffix as a pre-release: check with `r2mirror tags`")
    return [entry]
