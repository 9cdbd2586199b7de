"""Translates sinker's image manifest (.images.yaml)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed
from reconciler.imports.drafts import Draft, Translation
from reconciler.imports.names import at_registry, host_named, parse_destination
from reconciler.oci.docker_hub import DOCKER_HUB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.imports.reading import At


def is_sinker(value: Any) -> bool:
    """Returns whether a parsed file is one of sinker's."""
    return isinstance(value, dict) and isinstance(value.get("target"), dict) and isinstance(value.get("sources"), list)


def translate(files: Sequence[At]) -> Translation:
    """Translates files of sinker's."""
    translation = Translation()
    for top in files:
        target = top.inner("target")
        place = _place(translation, target) if target else ""
        for source in top.each("sources"):
            _source(translation, source, place)
        top.reading.note_unread({})
    return translation


def _place(translation: Translation, target: At) -> str:
    host, repository = target.needed("host"), target.text("repository")
    _login(translation, target, host)
    return f"{host}/{repository}".strip("/")


def _login(translation: Translation, at: At, host: str) -> None:
    """Takes over the names of the variables that hold a login."""
    auth = at.inner("auth")
    user, password = (auth.text("username"), auth.text("password")) if auth else ("", "")
    if user and password and host_named(host):
        translation.registry(host_named(host), username_env=user, password_env=password)


def _source(translation: Translation, source: At, place: str) -> None:
    repository, host = source.needed("repository"), source.text("host") or DOCKER_HUB
    tag, digest = source.text("tag"), source.text("digest")
    own = source.inner("target")
    place = _place(translation, own) if own else place
    _login(translation, source, host)
    if not repository or not place:
        return
    try:
        name = at_registry(host, repository)
        destination, path, _ = parse_destination(f"{place}/{repository}")
    except Malformed as error:
        source.at("repository").problem(str(error))
        return
    if digest and not tag:
        # sinker calls what it pushes after the digest.
        tag = f"{digest.rpartition(':')[2]}@{digest}"
    elif digest:
        source.at("digest").note("sinker does not use it beside a tag")
    translation.drafts.append(Draft(source, name, (tag or "latest",), path, destination))
