"""Translates the manifests of the Kubernetes image promoter (promo-tools, kpromo)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed
from reconciler.imports.drafts import Draft, Translation
from reconciler.imports.names import parse_destination, parse_reference
from reconciler.imports.reading import WITHOUT_MEANING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.imports.reading import At

KNOWN = {
    "service-account": "is a credential and not copied: log in with docker or the cloud",
    "provenance": f"{WITHOUT_MEANING}: name the signers of the images under `signed_by`",
    "imagesPath": f"{WITHOUT_MEANING}: name the file of the images beside this one",
}


def is_promo_tools(value: Any) -> bool:
    """Returns whether a parsed file is a manifest of the promoter, or a list of its images."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(one, dict) and {"name", "dmap"} <= set(one) for one in value)
    registries = value.get("registries") if isinstance(value, dict) else None
    return isinstance(registries, list) and any(isinstance(one, dict) and "src" in one for one in registries)


def translate(files: Sequence[At]) -> Translation:
    """Translates manifests and lists of images; the images of all files are promoted between the registries of all."""
    translation = Translation()
    registries = [one for top in files if isinstance(top.value, dict) for one in top.each("registries")]
    # Each is read once, since reading is what keeps it from being reported.
    sources = [one for one in registries if one.flag("src")]
    names = {id(one): one.needed("name") for one in registries}
    targets = [one for one in registries if one not in sources]
    if len(sources) != 1 or not targets:
        files[0].reading.document.problem((), "expected one registry with src: true, and others that are promoted to")
    for image in (one for top in files for one in _images(top)):
        if len(sources) == 1:
            _image(translation, image, names[id(sources[0])], [(one, names[id(one)]) for one in targets])
    for top in files:
        top.reading.note_unread(KNOWN)
    return translation


def _images(top: At) -> Iterator[At]:
    if isinstance(top.value, dict):
        yield from top.each("images")
        return
    top.reading.read(("",))
    for number, one in enumerate(top.value):
        if isinstance(one, dict):
            top.reading.read((number, ""))
            yield top.at(number)


def _image(translation: Translation, image: At, source: str, targets: Sequence[tuple[At, str]]) -> None:
    name, digests = image.needed("name"), image.inner("dmap")
    tags = []
    for digest in digests.keys() if digests else ():
        assert digests
        named = digests.texts(digest)
        tags += [f"{tag}@{digest}" for tag in named]
        if not named:
            digests.at(digest).note("a digest without a tag cannot be mirrored; name a tag for it")
    for target, place in targets if name and tags else ():
        try:
            repository = parse_reference(f"{source.strip('/')}/{name.strip('/')}").repository
            destination, path, _ = parse_destination(f"{place.strip('/')}/{name.strip('/')}")
        except Malformed as error:
            target.problem(str(error))
            continue
        translation.drafts.append(Draft(image, repository, tuple(tags), path, destination))
