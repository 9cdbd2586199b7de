"""A chart of a classic chart repository as a source: its versions are tags, each of which is the artifact of helm push.

Everything that the repository sends is untrusted: bounded while it is read, and verified against its index.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from reconciler.errors import BadAnswer, Malformed, NotFound
from reconciler.oci.referrers import ListedAttachments
from reconciler.oci.spec import Descriptor, Digest
from reconciler.sources.auth import check_redirect
from reconciler.sources.endpoint import Endpoint
from reconciler.sources.helm_chart import Artifact, make_artifact
from reconciler.sources.helm_index import MAX_INDEX_SIZE, ChartVersion, parse_index

if TYPE_CHECKING:
    from reconciler.sources.registry import Registry

MAX_CHART_SIZE = 64 * 1024 * 1024
MAX_PROVENANCE_SIZE = 1024 * 1024

MAX_SEARCHED = 200
"""How many versions are downloaded to find the one with a given digest, which the index does not have."""

MAX_KEPT = 64 * 1024 * 1024
"""Bytes of charts that are kept in memory between plan and apply."""

CHUNK = 1024 * 1024

_ABSENT = (403, 404, 410)
"""Answers for a provenance file that is not there. Object stores answer 403 to those who may not list."""


@dataclass
class ChartRepository:
    """One chart repository, shared by all threads.

    path       where it is at its host, empty or with a slash at the start
    redirects  the hosts that mirrors.yaml declares in `redirects_to`
    """

    registry: Registry
    path: str
    redirects: tuple[str, ...]
    _charts: Mapping[str, tuple[ChartVersion, ...]] | None = None
    _reading: threading.Lock = field(default_factory=threading.Lock)
    _kept: OrderedDict[Digest, bytes] = field(default_factory=OrderedDict)
    _keeping: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"{self.registry.url}{self.path}"

    @property
    def _endpoint(self) -> Endpoint:
        return Endpoint(self.registry, self.path.strip("/"))

    def versions(self, chart: str, what: str) -> tuple[ChartVersion, ...]:
        """Returns the versions of a chart. The index is fetched once. Raises `SourceError`."""
        with self._reading:
            if self._charts is None:
                body = self._get(f"{self.url}/index.yaml", what, MAX_INDEX_SIZE, "chart index")
                with self.registry.large_answers:
                    self._charts = _parsed(body, f"{self.url}/index.yaml", what)
        found = self._charts.get(chart)
        if found is None:
            raise NotFound(what, f"{self.url}/index.yaml has no chart {chart}; check the name")
        return found

    def archive(self, one: ChartVersion, what: str) -> bytes:
        """Returns a .tgz, verified. Raises `SourceError`."""
        with self._keeping:
            kept = self._kept.get(one.digest) if one.digest else None
        if kept is not None:
            return kept
        body = self._get(self._location(one, what), what, MAX_CHART_SIZE, "chart")
        if one.digest is None:
            self.registry.warn_once(f"{what}: the index has no digest, so the chart cannot be verified against it")
        elif not one.digest.matches(body):
            raise BadAnswer(what, f"expected a chart of the digest {one.digest}, got {len(body)} bytes of another one")
        self._keep(one.digest or Digest.of(body), body)
        return body

    def provenance(self, one: ChartVersion, what: str) -> bytes | None:
        """Returns the provenance file of a chart, None if it has none. Raises `SourceError`."""
        url = f"{self._location(one, what)}.prov"
        response, body = self.registry.document(url, self._endpoint.scope, what, MAX_PROVENANCE_SIZE)
        if response.status_code in _ABSENT:
            return None
        self._endpoint.check(response, what, "provenance file", body)
        # Some servers answer with a page of their own instead of a 404.
        return body if b"-----BEGIN PGP SIGNED MESSAGE-----" in body else None

    def _location(self, one: ChartVersion, what: str) -> str:
        url = urljoin(f"{self.url}/", one.url)
        # The index sends us there as a redirect would, so the same rules hold.
        try:
            check_redirect(url, self.registry.url, places=self.redirects)
        except BadAnswer as error:
            raise BadAnswer(what, error.why) from None
        return url

    def _get(self, url: str, what: str, limit: int, kind: str) -> bytes:
        response, body = self.registry.document(url, self._endpoint.scope, what, limit)
        self._endpoint.check(response, what, kind, body)
        return body

    def _keep(self, digest: Digest, body: bytes) -> None:
        with self._keeping:
            self._kept[digest] = body
            while sum(map(len, self._kept.values())) > MAX_KEPT:
                self._kept.popitem(last=False)


def _parsed(body: bytes, url: str, what: str) -> Mapping[str, tuple[ChartVersion, ...]]:
    try:
        return parse_index(body, url)
    except Malformed as error:
        raise BadAnswer(what, str(error)) from None


@dataclass
class Chart:
    """The `Source` of one chart. `name` is its spelling in mirrors.yaml."""

    name: str
    repository: ChartRepository
    chart: str
    _made: dict[str, Artifact] = field(default_factory=dict)

    def tags(self) -> tuple[str, ...]:
        return tuple(one.tag for one in self._versions)

    def resolve(self, reference: str) -> Descriptor:
        if ":" in reference:
            return self.described(Digest.parse(reference))
        return self._artifact(self._version(reference)).descriptor

    def described(self, digest: Digest) -> Descriptor:
        return self._found(digest, f"{self.name}@{digest}").descriptor

    def manifest(self, descriptor: Descriptor) -> bytes:
        return self._found(descriptor.digest, f"{self.name}@{descriptor.digest}").manifest

    def blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        body = self._blob(descriptor.digest, f"{self.name}@{descriptor.digest}")
        yield from (body[start : start + CHUNK] for start in range(0, len(body), CHUNK))

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:  # noqa: ARG002 a chart has only its provenance file
        return ()

    def attachments(self, subject: Digest, listed: frozenset[str] | None) -> ListedAttachments:  # noqa: ARG002
        return ListedAttachments((), None, MappingProxyType({}))

    @property
    def _versions(self) -> tuple[ChartVersion, ...]:
        return self.repository.versions(self.chart, self.name)

    def _version(self, tag: str) -> ChartVersion:
        found = next((one for one in self._versions if one.tag == tag), None)
        if found is None:
            raise NotFound(
                f"{self.name}:{tag}", f"{self.repository.url}/index.yaml has no such version of {self.chart}"
            )
        return found

    def _artifact(self, one: ChartVersion) -> Artifact:
        if one.tag not in self._made:
            what = f"{self.name}:{one.tag}"
            archive = self.repository.archive(one, what)
            provenance = self.repository.provenance(one, what)
            try:
                self._made[one.tag] = make_artifact(archive, provenance, self.chart, one.version, what)
            except Malformed as error:
                raise BadAnswer(what, error.why) from None
        return self._made[one.tag]

    def _all(self) -> Iterator[tuple[ChartVersion, Artifact]]:
        """Yields the artifacts that are known, then those of the newest versions, which are downloaded for that."""
        by_tag = {one.tag: one for one in self._versions}
        known = dict(self._made)
        yield from ((by_tag[tag], one) for tag, one in known.items() if tag in by_tag)
        others = [one for tag, one in by_tag.items() if tag not in known]
        yield from ((one, self._artifact(one)) for one in others[:MAX_SEARCHED])

    def _found(self, digest: Digest, what: str) -> Artifact:
        found = next((one for _, one in self._all() if one.descriptor.digest == digest), None)
        if found is None:
            raise NotFound(
                what, f"none of the newest {MAX_SEARCHED} versions has this digest; pin versions by their tag"
            )
        return found

    def _blob(self, digest: Digest, what: str) -> bytes:
        # The digest of a .tgz is in the index.
        listed = next((one for one in self._versions if one.digest == digest), None)
        if listed:
            return self.repository.archive(listed, what)
        for one, artifact in self._all():
            if artifact.chart == digest:
                return self.repository.archive(one, what)
            if digest in artifact.blobs:
                return artifact.blobs[digest]
        raise NotFound(what, "no version of the chart has such a blob")
