"""One repository whose registry has mirrors: other hosts that have its content, e.g. a pull-through cache.

What a digest names is the same at every host, so it is fetched from the mirrors in their order, and from the registry
itself last. A mirror's answer about anything else may be old or incomplete: tag lists, attachments and the digests of
tags come from the registry, unless an entry says `resolve: true` (tags only) or the registry is not to be contacted at
all. A host that fails, or does not have what is wanted, is followed by the next one.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from copy import copy
from dataclasses import field
from typing import TYPE_CHECKING, TypeVar

from reconciler.errors import BadAnswer, LoginRefused, NotFound, OutOfTime, QuotaSpent, SourceError
from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.oci.referrers import ListedAttachments
    from reconciler.oci.spec import Descriptor, Digest
    from reconciler.sources.quota import Quota
    from reconciler.sources.repository import RegistrySource

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Hosts(Frozen):
    """The same repository at several hosts, each time in the order in which they are asked.

    contents   for what a digest names
    resolving  for the digests of tags
    listing    for tag lists and attachments
    has_home   whether the last of each is the registry itself, whose word is the last
    told       the hosts whose failures were logged; shared by all repositories
    """

    contents: tuple[RegistrySource, ...]
    resolving: tuple[RegistrySource, ...]
    listing: tuple[RegistrySource, ...]
    has_home: bool = True
    told: set[str] = field(default_factory=set)


class MirroredSource:
    """The `Source` for one repository at several hosts."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        # The host whose quota counts: the one that a manifest came from last, or would come from.
        self._serving = hosts.contents[0]
        self._begun: Counter[Digest] = Counter()

    def tags(self) -> tuple[str, ...]:
        return self._first(self._hosts.listing, lambda host: host.tags())

    def resolve(self, reference: str) -> Descriptor:
        hosts = self._hosts.contents if ":" in reference else self._hosts.resolving
        return self._first(hosts, lambda host: host.resolve(reference))

    def described(self, digest: Digest) -> Descriptor:
        return self._first(self._hosts.contents, lambda host: host.described(digest))

    def manifest(self, descriptor: Descriptor) -> bytes:
        def fetched(host: RegistrySource) -> bytes:
            self._afford(host, descriptor)
            body = host.manifest(descriptor)
            self._serving = host
            return body

        return self._first(self._hosts.contents, fetched)

    def blob(self, descriptor: Descriptor) -> Generator[bytes, None, None]:
        failures: list[SourceError] = []
        offset = 0
        for host in self._order(descriptor.digest):
            try:
                with contextlib.closing(host.blob(descriptor, offset)) as chunks:
                    for chunk in chunks:
                        offset += len(chunk)
                        yield chunk
            except SourceError as error:
                # Bytes that cannot be right are not continued elsewhere: the blob is fetched again as a whole.
                if isinstance(error, OutOfTime) or (offset and isinstance(error, BadAnswer)):
                    raise
                self._note(host, error)
                failures.append(error)
            else:
                return
        raise last_word(failures, has_home=self._hosts.has_home)

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        return self._first(self._hosts.listing, lambda host: host.referrers(subject))

    def attachments(self, subject: Digest, listed: frozenset[str] | None) -> ListedAttachments:
        return self._first(self._hosts.listing, lambda host: host.attachments(subject, listed))

    def wants_login(self, digest: Digest) -> bool:
        return self._first(self._hosts.listing, lambda host: host.wants_login(digest))

    def quota(self, known: Descriptor | None = None, *, again: bool = False) -> Quota | None:
        """Returns the quota of the host that a manifest comes from: of the first that has `known`, if it is given."""
        if known:
            *mirrors, last = self._hosts.contents
            self._serving = next((host for host in mirrors if _has(host, known)), last)
        return self._serving.quota(known, again=again)

    def _afford(self, host: RegistrySource, descriptor: Descriptor) -> None:
        """Raises `QuotaSpent` if a host that stands in for a mirror has no pulls left: the caller counted on that."""
        quota = host.quota()
        if host is not self._serving and quota and not quota.usable:
            missing = f"{self._serving.registry.name} does not have it, and {quota}"
            raise QuotaSpent(host.what(str(descriptor.digest)), f"{missing}. Apply again later")

    def _order(self, digest: Digest) -> Sequence[RegistrySource]:
        """Returns the hosts for a blob. One that is fetched again may have been wrong: it begins at the next host."""
        hosts = self._hosts.contents
        begun = self._begun[digest]
        self._begun[digest] += 1
        return hosts[min(begun, len(hosts) - 1) :]

    def _first(self, hosts: Sequence[RegistrySource], ask: Callable[[RegistrySource], Answer]) -> Answer:
        failures: list[SourceError] = []
        for host in hosts:
            try:
                return ask(host)
            except OutOfTime:
                raise
            except SourceError as error:
                self._note(host, error)
                failures.append(error)
        raise last_word(failures, has_home=self._hosts.has_home)

    def _note(self, host: RegistrySource, error: SourceError) -> None:
        """Logs that a host is followed by the next one, once a run as a warning: a broken mirror costs time."""
        name = host.registry.name
        if isinstance(error, NotFound) or host is self._hosts.contents[-1] or name in self._hosts.told:
            logger.info("%s; asking the next host", error)
            return
        self._hosts.told.add(name)
        logger.warning("the mirror %s fails, and the next host is asked instead; first: %s", name, error)


def _has(host: RegistrySource, known: Descriptor) -> bool:
    try:
        return bool(host.resolve(str(known.digest)))
    except OutOfTime:
        raise
    except SourceError:
        return False


def last_word(failures: Sequence[SourceError], *, has_home: bool, others: str = "Other hosts") -> SourceError:
    """Returns the error of the last host, with those of the others.

    Among mirrors it is not `NotFound` if one of them failed: that one may have what the others do not have.
    """
    last = failures[-1]
    if isinstance(last, NotFound) and not has_home:
        last = next((one for one in failures if not isinstance(one, NotFound)), last)
    rest = [one for one in failures if one is not last]
    # A refused login is reported once for all repositories, by its text.
    if not rest or isinstance(last, LoginRefused):
        return last
    told = copy(last)
    told.why = f"{last.why}. {others}: {'; '.join(map(str, rest))}"
    told.args = (told.what, told.why, *last.args[2:])
    return told
