"""Asks others than the mirror index how long a digest has been under its tag, for `seen_by` of `min_age`.

log   the time at which a transparency log took up a signature of the image, by an identity that `signed_by` trusts
push  the date that Docker Hub notes of the last push of a tag, for the digest that is under it

A witness that cannot be asked says nothing: then the image waits by the mirror index alone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Self, TypeAlias

from reconciler.errors import Malformed, PublicError, SourceError
from reconciler.oci.docker_hub import DOCKER_HUB
from reconciler.oci.spec import Digest, load_json
from reconciler.plan.ages import Testimony

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror
    from reconciler.signatures.gate import Gate
    from reconciler.sources import OpenSource
    from reconciler.target.public import PublicBucket

logger = logging.getLogger(__name__)

HUB = "https://hub.docker.com"
"""Docker Hub's own API, which needs no login for public repositories and counts no pull."""

MAX_ANSWER = 1024 * 1024

MOST_TAGS = 150
"""Of how many tags Docker Hub is asked in one run, below its limit of requests a minute; the others wait."""

Witness: TypeAlias = "Callable[[Mirror, str, Digest], datetime | None]"


class Witnesses:
    """The witnesses that a file names. Safe to share between threads; a context manager that closes connections."""

    def __init__(self, open_source: OpenSource, gate: Gate, hub: str = HUB) -> None:
        self._open_source = open_source
        self._gate = gate
        self._url = hub
        self._closing = ExitStack()
        self._left = MOST_TAGS
        self._counting = threading.Lock()
        self._kinds: Mapping[str, Witness] = {"log": self._logged, "push": self._pushed}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def testify(self, mirror: Mirror, tag: str, digest: Digest, now: datetime) -> Testimony | None:
        """Returns since when the most trusted witness that says the digest is old enough has known it.

        None if none says so.
        """
        assert mirror.min_age
        for name in mirror.min_age.seen_by:
            since = self._kinds[name](mirror, tag, digest) if name in self._kinds else None
            if since and now - since >= mirror.min_age.age:
                return Testimony(name, since)
        return None

    def _logged(self, mirror: Mirror, tag: str, digest: Digest) -> datetime | None:
        what = f"{mirror.source}@{digest} ({tag})"
        if not self._gate.wanted(mirror.target):
            return None
        # A signature that is missing or does not count is refused elsewhere; here it only says nothing.
        with suppress(SourceError):
            source = self._open_source(mirror.source)
            known = self._gate.inspect(mirror.target, mirror.source, source, digest, what)
            return getattr(known, "at", None)
        return None

    def _pushed(self, mirror: Mirror, tag: str, digest: Digest) -> datetime | None:
        name = mirror.repository
        if name is None or name.registry != DOCKER_HUB or not self._may_ask():
            return None
        owner, _, repository = name.path.partition("/")
        key = f"v2/namespaces/{owner}/repositories/{repository}/tags/{tag}"
        try:
            answer = self._hub.get(key, MAX_ANSWER)
            return _push_date(answer.body, digest) if answer.status == 200 else None
        except (PublicError, Malformed) as error:
            logger.warning("%s:%s: Docker Hub's push date cannot be read: %s", mirror.source, tag, error)
            with self._counting:
                # One that does not answer is not waited for again, tag by tag.
                self._left = 0
            return None

    def _may_ask(self) -> bool:
        with self._counting:
            self._left = max(0, self._left - 1)
            return self._left > 0

    @cached_property
    def _hub(self) -> PublicBucket:
        # Most files name no such witness, and need not load an HTTP client before anything else does.
        from reconciler.target.public import PublicBucket

        return self._closing.enter_context(PublicBucket(self._url))


def _push_date(body: bytes, digest: Digest) -> datetime | None:
    """Reads Docker Hub's description of a tag. None if it is about another digest. Raises `Malformed`."""
    what = "the description of the tag"
    match load_json(body, what):
        case {"digest": str(named), "tag_last_pushed": str(time)}:
            # Only the tag's own digest: those of `images` are below it, and may be older than the tag.
            return _time(time, what) if named == str(digest) else None
        case _:
            raise Malformed(what, "expected digest and tag_last_pushed")


def _time(text: str, what: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise Malformed(what, f"{text[:40]!r} is not a time") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
