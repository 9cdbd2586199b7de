"""What the OCI distribution specification requires of a read-only registry, each with its check: docs/conformance.md.

The requirements are those of specification 1.1 as it is developed now, which demands some headers that 1.1.0 only
recommends, in our words and in its order; the read-only part of its conformance suite tests the same things.

For the edge (with a static bucket behind it), for the Worker and for `serve`, a requirement is either met ("") or has the
reason why it is not. A requirement that is not met is checked as well: its check has to fail, and `instead` has to hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from reconciler.oci.referrers import list_bytes
from reconciler.oci.spec import OCI_INDEX, Digest
from reconciler.target.layout import (
    BLOB_HEADERS,
    CATALOG,
    JSON_HEADERS,
    PING,
    REFERRERS_HEADERS,
    blob_key,
    manifest_headers,
    manifest_key,
    referrers_key,
    tags_key,
)
from tests.parts.images import artifact, image, index
from tests.parts.serving import Served

if TYPE_CHECKING:
    from reconciler.stores import Store
    from tests.parts.serving import Answer

Check: TypeAlias = "Callable[[Registry], None]"

APP = index(image({"a": "1"}), image({"a": "2"}, platform="linux/arm64"))
TAGS = dict.fromkeys(("latest", "1.0", "1.1", "V2", "_"), APP)
SUBJECT = APP.children[0]
SBOM = artifact("application/vnd.example.sbom", subject=SUBJECT, annotations={"made.by": "tests"})
SIGNATURE = artifact("application/vnd.example.signature", subject=SUBJECT)
BLOB, BLOB_BODY = max(APP.all_blobs().items(), key=lambda entry: len(entry[1]))
NONE = str(Digest.of(b"nothing has this digest"))


def referrers_index() -> bytes:
    """The index of what refers to `SUBJECT`, as it is published."""
    entries = [
        {**SBOM.descriptor(), "artifactType": "application/vnd.example.sbom", "annotations": {"made.by": "tests"}},
        {**SIGNATURE.descriptor(), "artifactType": "application/vnd.example.signature"},
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()


@dataclass(frozen=True)
class Registry:
    """A registry that holds `TAGS` in the repository `app`, and the referrers of `SUBJECT`."""

    host: str

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        return Served(self.host).ask(f"/v2/{path}", method, **headers)

    def tags(self, query: str = "") -> list[str]:
        answer = self.ask(f"app/tags/list{query}")
        assert answer.status == 200
        tags: list[str] = json.loads(answer.body)["tags"]
        return tags

    def referrers(self, query: str = "") -> Answer:
        return self.ask(f"app/referrers/{SUBJECT.digest}{query}")


@dataclass(frozen=True)
class Requirement:
    """`level` is MUST, SHOULD or MAY; `edge`, `worker` and `serve` are the reason if it is not met there, otherwise empty."""

    section: str
    level: str
    text: str
    check: Check
    edge: str = ""
    worker: str = ""
    serve: str = ""
    instead: Check | None = None

    @property
    def id(self) -> str:
        return self.check.__name__.replace("_", "-")


REQUIREMENTS: list[Requirement] = []


def requirement(
    section: str, level: str, text: str, edge: str = "", instead: Check | None = None
) -> Callable[[Check], Check]:
    def noted(check: Check) -> Check:
        REQUIREMENTS.append(Requirement(section, level, text, check, edge, instead=instead))
        return check

    return noted


def table() -> str:
    """The requirements as Markdown, by section."""
    lines = []
    for section in dict.fromkeys(one.section for one in REQUIREMENTS):
        lines += [
            f"\n## {section}\n",
            "| id | | requirement | edge | worker | serve |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {one.id} | {one.level} | {one.text} | {one.edge or 'yes'} | {one.worker or 'yes'} | {one.serve or 'yes'} |"
            for one in REQUIREMENTS
            if one.section == section
        ]
    return "\n".join(lines)


def status(path: str, expected: int, *methods: str) -> Check:
    def check(registry: Registry) -> None:
        for method in methods or ("GET", "HEAD"):
            assert registry.ask(path, method).status == expected, method

    return check


def no_header(path: str, name: str) -> Check:
    def check(registry: Registry) -> None:
        answer = registry.ask(path, "HEAD")
        assert answer.status == 200
        assert name not in answer.headers

    return check


SUPPORT, MANIFESTS, BLOBS = "Determining support", "Pulling manifests", "Pulling blobs"
TAGS_LIST, REFERRERS, OTHER = "Listing tags", "Listing referrers", "Errors and writes"

NO_DIGEST = "no, unless `edge.digest_by_tag` is on: a static bucket does not send it; clients hash what they receive"
BY_TAG, BY_DIGEST, A_BLOB = "app/manifests/latest", f"app/manifests/{APP.digest}", f"app/blobs/{BLOB}"


@requirement(SUPPORT, "MUST", "`GET /v2/` is 200")
def ping(registry: Registry) -> None:
    assert registry.ask("").status == 200


@requirement(MANIFESTS, "MUST", "GET by tag is 200 with the manifest's exact bytes")
def manifest_by_tag(registry: Registry) -> None:
    for tag, tagged in TAGS.items():
        answer = registry.ask(f"app/manifests/{tag}")
        assert (answer.status, answer.body) == (200, tagged.body)


@requirement(MANIFESTS, "MUST", "GET by digest is 200 with the manifest's exact bytes, children of an index included")
def manifest_by_digest(registry: Registry) -> None:
    for manifest in APP.manifests():
        answer = registry.ask(f"app/manifests/{manifest.digest}")
        assert (answer.status, answer.body) == (200, manifest.body)


@requirement(MANIFESTS, "SHOULD", "`Content-Type` is the manifest's media type, without parameters")
def manifest_content_type(registry: Registry) -> None:
    for manifest in APP.manifests():
        for method in ("GET", "HEAD"):
            answer = registry.ask(f"app/manifests/{manifest.digest}", method)
            assert answer.headers["content-type"] == manifest.media_type
    assert registry.ask(BY_TAG).headers["content-type"] == APP.media_type


@requirement(MANIFESTS, "MUST", "HEAD of an existing manifest is 200")
def manifest_head(registry: Registry) -> None:
    for path in (BY_TAG, BY_DIGEST):
        assert registry.ask(path, "HEAD").status == 200


@requirement(MANIFESTS, "MUST", "HEAD has the size in `Content-Length`")
def manifest_length(registry: Registry) -> None:
    for path in (BY_TAG, BY_DIGEST):
        assert registry.ask(path, "HEAD").headers["content-length"] == str(APP.size)


@requirement(MANIFESTS, "MUST", "`Docker-Content-Digest` on requests by digest (SHOULD in 1.1.0)")
def manifest_digest_by_digest(registry: Registry) -> None:
    for method in ("GET", "HEAD"):
        assert registry.ask(BY_DIGEST, method).headers.get("docker-content-digest") == APP.digest


@requirement(
    MANIFESTS, "MUST", "`Docker-Content-Digest` on requests by tag (SHOULD in 1.1.0)",
    edge=NO_DIGEST, instead=no_header(BY_TAG, "docker-content-digest"),
)  # fmt: skip
def manifest_digest_by_tag(registry: Registry) -> None:
    for method in ("GET", "HEAD"):
        assert registry.ask(BY_TAG, method).headers.get("docker-content-digest") == APP.digest


@requirement(MANIFESTS, "MUST", "GET and HEAD of a missing tag, digest or repository, or of an invalid tag, are 404")
def manifest_missing(registry: Registry) -> None:
    for path in ("app/manifests/none", f"app/manifests/{NONE}", "none/manifests/latest", "app/manifests/.INVALID"):
        status(path, 404)(registry)


@requirement(BLOBS, "MUST", "GET is 200 with the blob's exact bytes")
def blob_get(registry: Registry) -> None:
    for digest, body in APP.all_blobs().items():
        answer = registry.ask(f"app/blobs/{digest}")
        assert (answer.status, answer.body) == (200, body)


@requirement(BLOBS, "MUST", "HEAD of an existing blob is 200, with the size in `Content-Length`")
def blob_head(registry: Registry) -> None:
    answer = registry.ask(A_BLOB, "HEAD")
    assert (answer.status, answer.headers["content-length"]) == (200, str(len(BLOB_BODY)))


@requirement(BLOBS, "MUST", "`Docker-Content-Digest` (SHOULD in 1.1.0)")
def blob_digest(registry: Registry) -> None:
    for method in ("GET", "HEAD"):
        assert registry.ask(A_BLOB, method).headers.get("docker-content-digest") == BLOB


@requirement(BLOBS, "MUST", "GET and HEAD of a missing blob are 404")
def blob_missing(registry: Registry) -> None:
    for path in (f"app/blobs/{NONE}", f"none/blobs/{BLOB}"):
        status(path, 404)(registry)


@requirement(BLOBS, "SHOULD", "a `Range` request is 206 with that part, or 416 if it starts beyond the end")
def blob_range(registry: Registry) -> None:
    size = len(BLOB_BODY)
    for asked, part in (("bytes=3-9", BLOB_BODY[3:10]), ("bytes=5-", BLOB_BODY[5:]), ("bytes=-4", BLOB_BODY[-4:])):
        answer = registry.ask(A_BLOB, range=asked)
        assert (answer.status, answer.body) == (206, part)
        assert re.fullmatch(rf"bytes \d+-\d+/{size}", answer.headers["content-range"])
    assert registry.ask(A_BLOB, range=f"bytes={size}-").status == 416


@requirement(TAGS_LIST, "MUST", "`GET tags/list` is 200 with `name` and `tags`")
def tags_list(registry: Registry) -> None:
    answer = registry.ask("app/tags/list")
    document = json.loads(answer.body)
    assert (answer.status, document["name"], set(document["tags"])) == (200, "app", set(TAGS))
    assert answer.headers["content-type"] == "application/json"


@requirement(TAGS_LIST, "MUST", "tags are in ASCII order")
def tags_order(registry: Registry) -> None:
    assert registry.tags() == sorted(TAGS)


def everything_at_once(query: str) -> Check:
    def check(registry: Registry) -> None:
        assert registry.tags(query) == sorted(TAGS)

    return check


STATIC = "no: the list is a static object; all tags are sent at once, which clients accept"


@requirement(TAGS_LIST, "MUST", "`n` limits the number of tags", edge=STATIC, instead=everything_at_once("?n=2"))
def tags_n(registry: Registry) -> None:
    assert registry.tags("?n=2") == sorted(TAGS)[:2]
    assert registry.tags("?n=100") == sorted(TAGS)


@requirement(
    TAGS_LIST, "MUST", "`n=0` gives an empty list, without `Link`", edge=STATIC, instead=everything_at_once("?n=0")
)
def tags_none(registry: Registry) -> None:
    answer = registry.ask("app/tags/list?n=0")
    assert json.loads(answer.body)["tags"] == []
    assert "link" not in answer.headers


@requirement(
    TAGS_LIST, "MUST", "`last` returns only the tags after it", edge=STATIC, instead=everything_at_once("?last=1.1")
)
def tags_last(registry: Registry) -> None:
    assert registry.tags("?last=1.1") == [tag for tag in sorted(TAGS) if tag > "1.1"]
    assert registry.tags("?n=1&last=1.05") == ["1.1"]


@requirement(
    TAGS_LIST, "MAY", "`Link` with `rel=\"next\"` leads through all pages",
    edge=STATIC, instead=everything_at_once("?n=2"),
)  # fmt: skip
def tags_link(registry: Registry) -> None:
    seen, following = [], "app/tags/list?n=2"
    while following:
        answer = registry.ask(following)
        page = json.loads(answer.body)["tags"]
        assert len(page) <= 2
        seen += page
        link = re.fullmatch(r'</v2/(.*)>; rel="next"', answer.headers.get("link", ""))
        assert link or len(seen) == len(TAGS)
        following = link[1] if link else ""
    assert seen == sorted(TAGS)


@requirement(TAGS_LIST, "MUST", "a missing repository is 404")
def tags_missing(registry: Registry) -> None:
    status("none/tags/list", 404)(registry)


@requirement(REFERRERS, "MUST", "`GET referrers/<digest>` is 200 with an image index and its `Content-Type`")
def referrers(registry: Registry) -> None:
    answer = registry.referrers()
    assert (answer.status, answer.headers["content-type"]) == (200, OCI_INDEX)
    document = json.loads(answer.body)
    assert (document["schemaVersion"], document["mediaType"]) == (2, OCI_INDEX)
    assert {entry["digest"] for entry in document["manifests"]} == {SBOM.digest, SIGNATURE.digest}


@requirement(REFERRERS, "MUST", "descriptors have the manifests' `artifactType` and annotations")
def referrers_descriptors(registry: Registry) -> None:
    first, second = json.loads(registry.referrers().body)["manifests"]
    assert (first["artifactType"], first["annotations"]) == ("application/vnd.example.sbom", {"made.by": "tests"})
    assert second["artifactType"] == "application/vnd.example.signature"


@requirement(REFERRERS, "MUST", "a manifest without referrers is 200 with an empty list")
def referrers_none(registry: Registry) -> None:
    without_referrers(registry, APP.digest, *(one.digest for one in (*APP.children[1:], SBOM, SIGNATURE)))


@requirement(
    REFERRERS, "MUST", "an unknown digest is 200 with an empty list",
    edge="no: 404; clients then request the fallback tag, which is 404 too",
    instead=status(f"app/referrers/{NONE}", 404),
)  # fmt: skip
def referrers_of_nothing(registry: Registry) -> None:
    without_referrers(registry, NONE, BLOB)


def without_referrers(registry: Registry, *digests: str) -> None:
    for digest in digests:
        answer = registry.ask(f"app/referrers/{digest}")
        assert (answer.status, answer.headers["content-type"]) == (200, OCI_INDEX)
        assert json.loads(answer.body)["manifests"] == []


@requirement(
    REFERRERS, "MUST", "a digest with an invalid syntax is 400",
    edge="no: 404", instead=status("app/referrers/sha256:123", 404),
)  # fmt: skip
def referrers_invalid(registry: Registry) -> None:
    status("app/referrers/sha256:123", 400)(registry)


def unfiltered(registry: Registry) -> None:
    answer = registry.referrers("?artifactType=application/vnd.example.sbom")
    assert len(json.loads(answer.body)["manifests"]) == 2
    assert "oci-filters-applied" not in answer.headers, "so that clients filter"


@requirement(
    REFERRERS, "SHOULD", "`artifactType` filters the list, and `OCI-Filters-Applied` names the filter",
    edge="no: all referrers are sent, without `OCI-Filters-Applied`, and the client filters", instead=unfiltered,
)  # fmt: skip
def referrers_filter(registry: Registry) -> None:
    answer = registry.referrers("?artifactType=application/vnd.example.sbom")
    assert [entry["digest"] for entry in json.loads(answer.body)["manifests"]] == [SBOM.digest]
    assert answer.headers["oci-filters-applied"] == "artifactType"
    assert json.loads(registry.referrers("?artifactType=none").body)["manifests"] == []


@requirement(REFERRERS, "MUST", "`OCI-Filters-Applied` is sent only if a filter was applied")
def referrers_unfiltered(registry: Registry) -> None:
    assert "oci-filters-applied" not in registry.referrers().headers


def no_json(registry: Registry) -> None:
    assert "json" not in registry.ask("app/manifests/none").headers["content-type"]


@requirement(
    OTHER, "MAY", "an error has a body with `errors`: `code`, `message`, `detail`",
    edge="no: the edge's own page or the bucket's XML, which the specification allows", instead=no_json,
)  # fmt: skip
def error_body(registry: Registry) -> None:
    for path, code in (
        ("app/manifests/none", "MANIFEST_UNKNOWN"),
        (f"app/blobs/{NONE}", "BLOB_UNKNOWN"),
        ("none/tags/list", "NAME_UNKNOWN"),
        ("NONE/tags/list", "NAME_INVALID"),
        ("app/blobs/sha256:1", "DIGEST_INVALID"),
    ):
        answer = registry.ask(path)
        assert answer.headers["content-type"] == "application/json"
        assert json.loads(answer.body)["errors"][0]["code"] == code


@requirement(OTHER, "MAY", "`ns`, which clients send to a mirror, changes nothing")
def namespace(registry: Registry) -> None:
    for path in (BY_TAG, BY_DIGEST, A_BLOB, "app/tags/list"):
        assert registry.ask(f"{path}?ns=docker.io").body == registry.ask(path).body


WRITES = (("PUT", BY_TAG), ("DELETE", BY_TAG), ("DELETE", A_BLOB), ("POST", "app/blobs/uploads/"))


def refused(*statuses: int) -> Check:
    def check(registry: Registry) -> None:
        for method, path in WRITES:
            assert registry.ask(path, method).status in statuses, method
        assert registry.ask(BY_TAG).body == APP.body

    return check


@requirement(
    OTHER, "MUST", "pushes and deletes, which are disabled, are 400 or 405",
    edge="no: 401 or 403, and nothing is changed", instead=refused(401, 403),
)  # fmt: skip
def writes(registry: Registry) -> None:
    refused(400, 405)(registry)


def fill(store: Store) -> None:
    """Publishes what the requirements are checked on, under the keys and headers of layout.py."""
    for one in (APP, SBOM, SIGNATURE):
        for digest, body in one.all_blobs().items():
            store.put(blob_key("app", Digest.parse(digest)), body, BLOB_HEADERS)
        for manifest in one.manifests():
            name = Digest.parse(manifest.digest)
            store.put(manifest_key("app", name), manifest.body, manifest_headers(manifest.media_type, name))
            store.put(referrers_key("app", name), list_bytes([], name), REFERRERS_HEADERS)
    for tag, tagged in TAGS.items():
        store.put(manifest_key("app", tag), tagged.body, manifest_headers(tagged.media_type, tag))
    subject = Digest.parse(SUBJECT.digest)
    store.put(referrers_key("app", subject), referrers_index(), REFERRERS_HEADERS)
    names = ",".join(f'"{tag}"' for tag in sorted(TAGS))
    store.put(tags_key("app"), f'{{"name":"app","tags":[{names}]}}'.encode(), JSON_HEADERS)
    store.put(CATALOG, b'{"repositories":["app"]}', JSON_HEADERS)
    store.put(PING, b"{}", JSON_HEADERS)
