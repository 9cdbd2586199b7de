"""Which keys the bucket has, what each of them holds, and under which headers. The only module that spells a key. Pure.

A bucket in this layout is a read-only registry of the OCI distribution specification 1.1, section "Pull". An edge in
front of it only has to map `/v2/` to `v2/_ping`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import TypeAlias

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.oci.spec import OCI_INDEX, Digest, is_repository, is_tag
from reconciler.regex import expression
from reconciler.stores.headers import Headers

CATALOG = "v2/_catalog"
PING = "v2/_ping"
PAGE = "index.html"
MIRROR_INDEX = "_mirror/index.json"
LOCK = "_mirror/lock.json"
STATES = "_mirror/state/"
ROOTS = "_mirror/roots/"
NOTIFIED = "_mirror/notified/"
COUNTS = "_mirror/pulls/"

RESERVED_COMPONENTS = frozenset({"manifests", "blobs", "tags", "referrers"})
"""Words that a repository's path cannot contain here: with them, one key could be read in two ways."""


# `no-transform`: a proxy that compresses or minifies a body would change its digest.
_FOREVER = "public, max-age=31536000, immutable, no-transform"
_FRESH = "no-cache, no-transform"

BLOB_HEADERS = Headers("application/octet-stream", _FOREVER)
JSON_HEADERS = Headers("application/json", _FRESH)
PAGE_HEADERS = Headers("text/html; charset=utf-8", _FRESH)
REFERRERS_HEADERS = Headers(OCI_INDEX, _FRESH)
LOCK_HEADERS = Headers("application/json", "no-store")
STATE_HEADERS = Headers("application/json", _FOREVER)


def manifest_headers(media_type: str, reference: Digest | str) -> Headers:
    """Returns the headers of a manifest: under its digest it never changes, under a tag it may."""
    return Headers(media_type, _FOREVER if isinstance(reference, Digest) else _FRESH)


def list_headers(key: str) -> Headers:
    """Returns the headers of a published list, or of the catalog page."""
    return PAGE_HEADERS if key == PAGE else JSON_HEADERS


def blob_key(repository: str, digest: Digest) -> str:
    return f"{blobs_prefix(repository)}{digest}"


def manifest_key(repository: str, reference: Digest | str) -> str:
    """Returns the key of a manifest by digest or by tag."""
    return f"{manifests_prefix(repository)}{reference}"


def blobs_prefix(repository: str) -> str:
    return f"v2/{repository}/blobs/"


def manifests_prefix(repository: str) -> str:
    return f"v2/{repository}/manifests/"


def tags_key(repository: str) -> str:
    return f"v2/{repository}/tags/list"


def referrers_key(repository: str, subject: Digest) -> str:
    return f"{referrers_prefix(repository)}{subject}"


def referrers_prefix(repository: str) -> str:
    return f"v2/{repository}/referrers/"


def state_key(digest: Digest) -> str:
    """Returns the key of an immutable part of the mirror index, which its hash names."""
    return f"{STATES}{digest.algorithm}-{digest.hex}.json"


def root_key(serial: int, digest: Digest) -> str:
    """Returns the key under which a root of the mirror index is kept. In the order of keys, roots are in their own."""
    return f"{ROOTS}{serial:010}-{digest.algorithm}-{digest.hex}.json"


def notified_key(name: str) -> str:
    """Returns the key of what the notifiers of the mirrors file `name` were told."""
    return f"{NOTIFIED}{name}.json"


def counts_key(day: date, writer: str) -> str:
    """Returns the key of what a writer, e.g. a server, counted on a day."""
    return f"{COUNTS}{day.isoformat()}/{writer}.json"


def counts_prefixes(since: date, until: date) -> Iterator[str]:
    """Yields what the keys of the counts of these days begin with: a prefix for each month."""
    month = since.replace(day=1)
    while month <= until:
        yield f"{COUNTS}{month:%Y-%m}-"
        month = (month + timedelta(days=31)).replace(day=1)


_STATE_KEY = expression(rf"{STATES}sha256-([0-9a-f]{{64}})\.json")
_ROOT_KEY = expression(rf"{ROOTS}([0-9]{{10,18}})-sha256-([0-9a-f]{{64}})\.json")
_COUNTS_KEY = expression(rf"{COUNTS}([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})/([0-9a-z-]{{1,40}})\.json")


def parse_state_key(key: str) -> Digest | None:
    """Parses what `state_key` spelled; None for any other key."""
    found = _STATE_KEY.fullmatch(key)
    return Digest("sha256", found[1]) if found else None


def parse_root_key(key: str) -> tuple[int, Digest] | None:
    """Parses what `root_key` spelled; None for any other key."""
    found = _ROOT_KEY.fullmatch(key)
    return (int(found[1]), Digest("sha256", found[2])) if found else None


def parse_counts_key(key: str) -> tuple[date, str] | None:
    """Parses what `counts_key` spelled; None for any other key."""
    found = _COUNTS_KEY.fullmatch(key)
    try:
        return (date.fromisoformat(found[1]), found[2]) if found else None
    except ValueError:
        return None


class BlobKey(Frozen):
    repository: str
    digest: Digest

    def __str__(self) -> str:
        return blob_key(self.repository, self.digest)


class ManifestKey(Frozen):
    repository: str
    reference: Digest | str

    def __str__(self) -> str:
        return manifest_key(self.repository, self.reference)


class TagsKey(Frozen):
    repository: str

    def __str__(self) -> str:
        return tags_key(self.repository)


class ReferrersKey(Frozen):
    repository: str
    subject: Digest

    def __str__(self) -> str:
        return referrers_key(self.repository, self.subject)


Key: TypeAlias = BlobKey | ManifestKey | TagsKey | ReferrersKey
"""An object of a repository; `str` spells its key, `parse_key` is the reverse."""


def parse_key(key: str) -> Key | None:
    """Parses a key of a repository; None for a key that is not of this layout, which is then not ours to touch."""
    if not key.startswith("v2/"):
        return None
    repository, _, kind_and_name = key.removeprefix("v2/").rpartition("/")
    # From the end: repositories have any number of components, the kind and the name are always the last two.
    name = kind_and_name
    repository, _, kind = repository.rpartition("/")
    if target_problem(repository):
        return None
    if kind == "tags" and name == "list":
        return TagsKey(repository)
    if kind == "manifests" and is_tag(name):
        return ManifestKey(repository, name)
    if kind not in ("blobs", "manifests", "referrers"):
        return None
    try:
        digest = Digest.parse(name)
    except Malformed:
        return None
    match kind:
        case "blobs":
            return BlobKey(repository, digest)
        case "referrers":
            return ReferrersKey(repository, digest)
        case _:
            return ManifestKey(repository, digest)


def target_problem(repository: str) -> str | None:
    """Returns why `repository` cannot be a target in a bucket of this layout, in words; None if it can."""
    reserved = RESERVED_COMPONENTS.intersection(repository.split("/"))
    if reserved:
        return f"{min(reserved)!r} is reserved by the registry API; choose another path component"
    if not is_repository(repository):
        return (
            "expected lower-case letters and digits, with single . _ - inside a part and / between parts, "
            "255 characters at most"
        )
    return None
