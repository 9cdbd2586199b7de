"""Lists what a bucket holds, for people who look for an image.

from_index   from the mirror index: digests, platforms, sizes, times
from_public  the same over the public URL; if the index is not public, the names in `_catalog` and `tags/list`
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from reconciler.errors import IndexInvalid, IndexVersion, Malformed, PublicError
from reconciler.frozen import Frozen
from reconciler.oci.spec import is_tag, load_json
from reconciler.target.index_json import parse
from reconciler.target.layout import CATALOG, MIRROR_INDEX, tags_key, target_problem
from reconciler.target.states import StateReader
from reconciler.work.threads import BLOB_WORKERS, completed

if TYPE_CHECKING:
    from reconciler.target.index import MirrorIndex, TagState
    from reconciler.target.public import PublicAnswer, PublicBucket

MAX_INDEX_BYTES = 64 * 1024 * 1024
MAX_LIST_BYTES = 8 * 1024 * 1024
"""Bytes that are read from a public URL, which can be any server's: enough for an index or a list of 200,000 tags."""

MAX_STATES_BYTES = 512 * 1024 * 1024
"""Bytes of all parts of an index that is too large for one object: two million tags."""

MAX_VALUES = 3_000_000
"""JSON values in such an index or list, more than r2mirror ever writes."""

MAX_REPOSITORIES = 10_000
MAX_TAGS = 1_000_000
"""Bounds for a mirror without an index: each repository is a request, and the names of all tags stay in memory."""

LONGEST = 600.0
"""Seconds to wait for all lists of tags together."""

_PARSING = threading.Lock()
"""Parsed JSON takes many times the memory of its bytes, so only one list is parsed at a time."""


class ListedRepository(Frozen):
    """One repository.

    source     None if it is not known
    tags       each tag with its state, None if only its name is known
    undeleted  tags that were pruned, and that the target cannot delete
    """

    target: str
    source: str | None
    tags: Mapping[str, TagState | None]
    undeleted: frozenset[str] = frozenset()

    @property
    def states(self) -> tuple[TagState, ...]:
        return tuple(state for state in self.tags.values() if state)

    @property
    def size(self) -> int | None:
        """Bytes to pull every image for every platform, each digest once; None if the size of one is not known.

        A layer that several images share is in the bucket once, and counted here for each of them.
        """
        images = {state.digest: state.images for state in self.states}
        if len(self.states) < len(self.tags) or not all(images.values()):
            return None
        return sum(sum(sizes.values()) for sizes in images.values() if sizes)

    @property
    def changed_at(self) -> datetime | None:
        return max((state.synced_at for state in self.states), default=None)


class Listing(Frozen):
    """The repositories that were found. `whole`: whether the mirror index could be read, or only names."""

    repositories: tuple[ListedRepository, ...]
    whole: bool = True


def from_index(index: MirrorIndex, pattern: str | None) -> Listing:
    """Lists the repositories of an index that have tags and whose name matches `pattern`; all of them for None."""
    return Listing(
        tuple(
            ListedRepository(target, state.source, state.tags, state.undeleted)
            for target, state in sorted(index.repositories.items())
            if (state.tags or state.undeleted) and _matches(target, pattern)
        )
    )


def from_public(bucket: PublicBucket, pattern: str | None, executor: Executor) -> Listing:
    """Lists what a public URL publishes. Raises `PublicError`, and `IndexVersion` for an index of another release."""
    answer = bucket.get(MIRROR_INDEX, MAX_INDEX_BYTES)
    if answer.status == 200:
        return from_index(_index(answer, bucket), pattern)
    names = [name for name in _names(bucket) if _matches(name, pattern)]
    found: dict[str, tuple[str, ...]] = {}
    number = 0

    def tags(name: str) -> tuple[str, ...]:
        return _tags(bucket, name)

    if len(names) > MAX_REPOSITORIES:
        why = f"names {len(names)} repositories, and its mirror index is not there; name the repositories, e.g. 'a/*'"
        raise PublicError(bucket.url, why)
    until = time.monotonic() + LONGEST
    for result in completed(executor, tags, names, BLOB_WORKERS, pause=1.0):
        if time.monotonic() > until:
            raise PublicError(bucket.url, f"its lists were not there after {LONGEST:.0f} s; name the repositories")
        if result:
            found[result[0]] = result[1].result()
            number += len(found[result[0]])
            if number > MAX_TAGS:
                raise PublicError(bucket.url, f"has more than {MAX_TAGS} tags; name the repositories, e.g. 'a/*'")
    repositories = (ListedRepository(name, None, dict.fromkeys(found[name])) for name in sorted(found))
    return Listing(tuple(one for one in repositories if one.tags), whole=False)


def _index(answer: PublicAnswer, bucket: PublicBucket) -> MirrorIndex:
    if answer.body.count(b",") > MAX_VALUES:
        raise PublicError(answer.url, f"a mirror index of more than {MAX_VALUES} values; list it with -f")
    try:
        return parse(answer.body, answer.url, _states(bucket))
    except IndexVersion:
        raise
    except IndexInvalid:
        why = "its answer is not a valid mirror index; check the address, or ask the operator of this mirror"
        raise PublicError(answer.url, why) from None


def _states(bucket: PublicBucket) -> StateReader:
    """Returns what reads the parts of an index that is too large for one object."""

    def get(key: str) -> bytes | None:
        answer = bucket.get(key, MAX_INDEX_BYTES)
        return answer.body if answer.status == 200 and answer.body.count(b",") <= MAX_VALUES else None

    return StateReader(bucket.url, get, most=MAX_STATES_BYTES)


def _names(bucket: PublicBucket) -> Iterator[str]:
    answer = bucket.get(CATALOG, MAX_LIST_BYTES)
    if answer.status != 200:
        why = (
            f"answered {answer.status}, and {MIRROR_INDEX} is not there either: this is not a mirror that can be "
            "listed. Give the address that serves its v2/, e.g. https://cr.example.com"
        )
        raise PublicError(answer.url, why)
    for name in _list_of(answer.body, "repositories", answer.url):
        if target_problem(name):
            raise PublicError(answer.url, "names a repository that cannot be one")
        yield name


def _tags(bucket: PublicBucket, name: str) -> tuple[str, ...]:
    answer = bucket.get(tags_key(name), MAX_LIST_BYTES)
    if answer.status == 404:
        return ()
    if answer.status != 200:
        raise PublicError(answer.url, f"answered {answer.status}, expected a list of tags")
    tags = _list_of(answer.body, "tags", answer.url)
    if not all(is_tag(tag) for tag in tags):
        raise PublicError(answer.url, "names a tag that cannot be one")
    return tags


def _list_of(body: bytes, field: str, url: str) -> tuple[str, ...]:
    try:
        with _PARSING:
            document: Any = load_json(body, url, MAX_VALUES)
    except Malformed as error:
        raise PublicError(url, error.why) from None
    rows: Any = document.get(field) if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, str) for row in rows):
        raise PublicError(url, f"expected an object with a list of {field}")
    return tuple(dict.fromkeys(rows))


def _matches(target: str, pattern: str | None) -> bool:
    return pattern is None or fnmatchcase(target, pattern)
