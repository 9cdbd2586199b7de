"""The objects that make up the published list of a digest's referrers. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.oci.referrers import fallback_tag, list_bytes
from reconciler.oci.spec import OCI_INDEX, Digest
from reconciler.target.layout import REFERRERS_HEADERS, manifest_headers, manifest_key, referrers_key

if TYPE_CHECKING:
    from reconciler.stores.headers import Headers
    from reconciler.target.protocol import Referrers


class PublishedList(Frozen):
    """One object of a digest's list of referrers."""

    key: str
    body: bytes
    headers: Headers


def published_list(target: str, wanted: Referrers) -> tuple[PublishedList, ...]:
    """Returns the objects of a list of referrers in the order in which they are written. Raises as `list_bytes`."""
    # An empty list is published too: clients that have found one list take a 404 for another as an error. Under the
    # fallback tag (distribution specification 1.1, "Referrers Tag Schema") an empty one would only be a stray tag.
    body, tag = list_bytes(wanted.entries, wanted.subject), fallback_tag(wanted.subject)
    listed = PublishedList(referrers_key(target, wanted.subject), body, REFERRERS_HEADERS)
    if not wanted.entries or tag in wanted.own_tags:
        return (listed,)
    names: tuple[Digest | str, ...] = (Digest.of(body), tag)
    tagged = (PublishedList(manifest_key(target, n), body, manifest_headers(OCI_INDEX, n)) for n in names)
    return (*tagged, listed)
