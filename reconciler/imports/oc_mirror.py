"""Translates `additionalImages` of oc-mirror's ImageSetConfiguration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed
from reconciler.imports.drafts import Draft, Translation
from reconciler.imports.names import parse_reference
from reconciler.imports.reading import WITHOUT_MEANING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.imports.reading import At

_CONTENT = "is not translated: oc-mirror finds its images in OpenShift's own content; go on with oc-mirror for it"
KNOWN = {
    "platform": _CONTENT,
    "operators": _CONTENT,
    "helm": f"{WITHOUT_MEANING}: name the images of the charts as mirrors",
    "blockedImages": f"{WITHOUT_MEANING}: what is not named is not mirrored",
    "samples": f"{WITHOUT_MEANING}; it is not needed",
    "storageConfig": f"{WITHOUT_MEANING}: the mirror index is in the store",
    "archiveSize": f"{WITHOUT_MEANING}: see `r2mirror export --max-size`",
}


def is_oc_mirror(value: Any) -> bool:
    """Returns whether a parsed file is an ImageSetConfiguration."""
    return isinstance(value, dict) and value.get("kind") == "ImageSetConfiguration"


def translate(files: Sequence[At]) -> Translation:
    """Translates files of oc-mirror's, which do not say where the images go."""
    translation = Translation()
    for top in files:
        top.text("apiVersion")
        top.text("kind")
        mirror = top.inner("mirror")
        for image in mirror.each("additionalImages") if mirror else ():
            _image(translation, image)
        top.reading.note_unread(KNOWN)
    return translation


def _image(translation: Translation, image: At) -> None:
    name = image.needed("name")
    try:
        reference = parse_reference(name) if name else None
    except Malformed as error:
        image.at("name").problem(str(error))
        return
    if reference and reference.digest and not reference.tag:
        image.note("a digest without a tag cannot be mirrored; name a tag for it, e.g. 1.0@sha256:...")
    elif reference:
        translation.drafts.append(Draft(image, reference.repository, (reference.entry or "latest",)))
