"""Translates image-syncer's images.yaml, auth.yaml and config.yaml (Alibaba)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed
from reconciler.imports import rules
from reconciler.imports.drafts import Draft, Translation
from reconciler.imports.names import host_named, parse_destination, parse_reference, variable_in
from reconciler.imports.reading import WITHOUT_MEANING
from reconciler.oci.spec import is_tag
from reconciler.words import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.imports.drafts import Entry
    from reconciler.imports.reading import At

KNOWN = {
    "username": "is a credential and not copied: name an environment variable as username_env under `registries`",
    "password": "is a credential and not copied: name an environment variable as password_env under `registries`",
    "auth": f"{WITHOUT_MEANING}; logins are under `registries`",
}
_LOGIN = {"username", "password", "insecure"}


def is_image_syncer(value: Any) -> bool:
    """Returns whether a parsed file is one of image-syncer's."""
    if not isinstance(value, dict) or not value:
        return False
    if {"auth", "images"} & set(value):
        return isinstance(value.get("images", {}), dict) and isinstance(value.get("auth", {}), dict)
    return _are_images(value) or all(isinstance(one, dict) and one and set(one) <= _LOGIN for one in value.values())


def _are_images(value: dict[str, Any]) -> bool:
    return all("/" in key and isinstance(one, (str, list)) for key, one in value.items())


def translate(files: Sequence[At]) -> Translation:
    """Translates files of image-syncer's: images, logins, or both in one."""
    translation = Translation()
    for top in files:
        whole = bool({"auth", "images"} & set(top.keys()))
        images = top.inner("images") if whole else top if _are_images(top.value) else None
        logins = top.inner("auth") if whole else top if images is None else None
        for name in logins.keys() if logins else ():
            assert logins
            _login(translation, name, logins.inner(name))
        for name in images.keys() if images else ():
            assert images
            _image(translation, images.at(name), name)
        top.reading.note_unread(KNOWN)
    return translation


def _login(translation: Translation, name: str, login: At | None) -> None:
    host = host_named(name.partition("/")[0])
    if not login or not host:
        return
    if login.flag("insecure"):
        translation.registry(host, plain_http=True)
    user, password = (variable_in(str(login.value.get(key) or "")) for key in ("username", "password"))
    if user and password and "/" not in name:
        login.text("username")
        login.text("password")
        translation.registry(host, username_env=user, password_env=password)


def _image(translation: Translation, at: At, name: str) -> None:
    several = isinstance(at.value, list)
    targets = [at.at(number) for number in range(len(at.value))] if several else [at]
    try:
        repository, tags = _source(at, name)
    except Malformed as error:
        at.problem(str(error))
        return
    if several:
        at.reading.read((*at.place, ""))
    for target in targets:
        _target(translation, at, target, (repository, tags))


def _target(translation: Translation, at: At, target: At, source: tuple[str, tuple[Entry, ...]]) -> None:
    repository, tags = source
    first, *others = target.text().split(",")
    try:
        destination, path, renamed = parse_destination(first)
    except Malformed as error:
        target.problem(str(error))
        return
    names = [renamed, *others] if renamed else []
    digest = tags[0].partition("@")[2] if isinstance(tags[0], str) else ""
    if not all(map(is_tag, names)):
        target.problem(f"{first[:90]!r} is followed by what are not valid tags")
    elif digest and names:
        tags, names = (f"{renamed}@{digest}",), []
    elif digest and str(tags[0]).startswith("@"):
        target.note("a digest without a tag cannot be mirrored; name a tag for it")
        return
    elif names and not isinstance(tags[0], str):
        target.note("is the name of one tag, and the source's may be several: name them, or write `rename`")
        return
    elif names and len(names) != len(tags):
        target.problem(f"has {count(len(names), 'tag')}, and its source has {len(tags)}: expected as many")
    renames = dict(zip(map(str, tags), names, strict=False))
    translation.drafts.append(Draft(at, repository, tags, path, destination, names=renames))


def _source(at: At, name: str) -> tuple[str, tuple[Entry, ...]]:
    """The repository and the tags of a source. A digest without a tag begins with @."""
    head, colon, pattern = name.partition(":/")
    if colon and pattern.endswith("/") and "//" not in name[: len(head) + 3]:
        return parse_reference(head).repository, ({"regex": rules.unanchored(pattern[:-1])},)
    first, *others = name.split(",")
    reference = parse_reference(first)
    wrong = next((tag for tag in others if not is_tag(tag)), None)
    if wrong is not None:
        at.reading.document.problem(at.place, f"{wrong[:90]!r} is not a valid tag")
    if reference.digest:
        return reference.repository, (f"{reference.tag}@{reference.digest}",)
    return reference.repository, (reference.tag, *others) if reference.tag else (rules.EVERYTHING,)
