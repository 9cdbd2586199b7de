"""A registry in memory that keeps the distribution specification, and the habits of products that do not.

    habits = Habits(patch_status=201, takes_chunks=False)      # ECR
    with start_registry(habits) as registry:
        registry.host, registry.lines("PUT")

What arrives is checked as a registry does: an upload's bytes against its digest, a manifest's blobs against what is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.parts.scripted_server import Answer, Asked, serve_answers

OCI_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class Habits:
    """How a registry differs from the specification.

    takes_whole      a PUT of a whole blob; else it wants chunks
    takes_chunks     else a session that got a PATCH cannot be ended
    patch_status     of the answer to a PATCH
    put_status       of the answer to the PUT that ends an upload
    manifest_status  of the answer to the PUT of a manifest
    mount            whether it mounts; None: it refuses to
    most             bytes of a body; more is answered with 413
    least            OCI-Chunk-Min-Length
    deletes_tags     whether it deletes tags, and with which status it refuses to
    deletes          whether it deletes at all
    referrers        whether it has the referrers API
    immutable        the text of its refusal to overwrite a tag; empty: it overwrites
    must_exist       whether a repository has to be there first
    says             headers of all its answers
    uploads_at       the URL of the host that takes the uploads
    locations        how it writes a Location: `absolute`, `relative`, `query`
    checks           whether it refuses a manifest that refers to what is not there
    """

    takes_whole: bool = True
    takes_chunks: bool = True
    patch_status: int = 202
    put_status: int = 201
    manifest_status: int = 201
    mount: bool | None = True
    most: int | None = None
    least: int | None = None
    deletes_tags: int = 202
    deletes: bool = True
    referrers: bool = True
    immutable: str = ""
    must_exist: bool = False
    says: tuple[tuple[str, str], ...] = ()
    uploads_at: str = ""
    locations: str = "absolute"
    checks: bool = True


@dataclass
class Repository:
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)


class MemoryRegistry:
    """A registry. `judge` may answer a request first, `after` may change an answer once it was carried out."""

    def __init__(self, habits: Habits) -> None:
        self.habits = habits
        self.url = ""
        self.repositories: dict[str, Repository] = {}
        self.asked: list[Asked] = []
        self.judge: Callable[[Asked], Answer | None] = lambda asked: None
        self.after: Callable[[Asked, Answer], Answer] = lambda asked, answer: answer
        self._sessions = 0
        self._lock = threading.Lock()

    @property
    def host(self) -> str:
        return self.url.partition("//")[2]

    def repository(self, path: str) -> Repository:
        return self.repositories.setdefault(path, Repository())

    def lines(self, beginning: str = "") -> list[str]:
        """Lists every request so far, as `METHOD /path`."""
        return [line for one in self.asked if (line := f"{one.method} {one.path}").startswith(beginning)]

    def methods(self) -> list[str]:
        return [one.method for one in self.asked]

    def answer(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
            answer = self.judge(asked) or self.after(asked, self._answer(asked))
        return Answer(
            answer.status, {**dict(self.habits.says), **answer.headers}, answer.body, drop=answer.drop, raw=answer.raw
        )

    def _answer(self, asked: Asked) -> Answer:
        parts = urlsplit(asked.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path == "/v2/":
            return Answer(200)
        match = re.fullmatch(r"/v2/(.+?)/(blobs/uploads|blobs|manifests|tags|referrers)/(.*)", parts.path)
        if not match:
            return Answer(404)
        path, kind, rest = match.groups()
        if self.habits.must_exist and path not in self.repositories:
            return _error(404, "NAME_UNKNOWN", f"The repository with name '{path}' does not exist")
        at = self.repository(path)
        return {
            "blobs/uploads": self._upload,
            "blobs": self._blob,
            "manifests": self._manifest,
            "tags": self._tags,
            "referrers": self._referrers,
        }[kind](asked, at, path, rest, query)

    def _blob(self, asked: Asked, at: Repository, path: str, rest: str, query: dict[str, str]) -> Answer:
        if rest not in at.blobs:
            return _error(404, "BLOB_UNKNOWN")
        return Answer(200, {"Docker-Content-Digest": rest, "Content-Length": str(len(at.blobs[rest]))}, at.blobs[rest])

    def _upload(self, asked: Asked, at: Repository, path: str, rest: str, query: dict[str, str]) -> Answer:
        habits = self.habits
        if asked.method == "POST":
            return self._open(at, path, query)
        session = query.get("_id", rest)
        if session not in at.uploads:
            return _error(404, "BLOB_UPLOAD_UNKNOWN")
        got = at.uploads[session]
        where = {"Location": self._location(path, session), "Range": f"0-{max(len(got) - 1, 0)}"}
        if asked.method == "DELETE":
            del at.uploads[session]
            return Answer(204)
        if asked.method == "GET":
            return Answer(204, where)
        if habits.most is not None and len(asked.body) > habits.most:
            return _error(413, "SIZE_INVALID")
        if asked.method == "PATCH":
            start, end = map(int, asked.headers["content-range"].split("-"))
            if start != len(got) or end - start + 1 != len(asked.body):
                return Answer(416, where)
            got += asked.body
            return Answer(habits.patch_status, {**where, "Range": f"0-{len(got) - 1}"})
        is_whole = bool(asked.body) and not got
        if (is_whole and not habits.takes_whole) or (got and not habits.takes_chunks):
            return _error(400, "BLOB_UPLOAD_INVALID")
        body = bytes(got) + asked.body
        digest = query["digest"]
        del at.uploads[session]
        if _digest(body, digest) != digest:
            return _error(400, "DIGEST_INVALID")
        at.blobs[digest] = body
        return Answer(habits.put_status, {"Location": f"/v2/{path}/blobs/{digest}", "Docker-Content-Digest": digest})

    def _open(self, at: Repository, path: str, query: dict[str, str]) -> Answer:
        if "mount" in query and self.habits.mount is None:
            return _error(405, "UNSUPPORTED")
        source = self.repositories.get(query.get("from", ""))
        if "mount" in query and self.habits.mount and source and query["mount"] in source.blobs:
            at.blobs[query["mount"]] = source.blobs[query["mount"]]
            return Answer(201, {"Docker-Content-Digest": query["mount"]})
        self._sessions += 1
        session = f"session-{self._sessions}"
        at.uploads[session] = bytearray()
        least = {"OCI-Chunk-Min-Length": str(self.habits.least)} if self.habits.least else {}
        return Answer(202, {"Location": self._location(path, session), "Range": "0-0", **least})

    def _location(self, path: str, session: str) -> str:
        base = self.habits.uploads_at or ("" if self.habits.locations == "relative" else self.url)
        if self.habits.locations == "query":
            return f"{base}/v2/{path}/blobs/uploads/x?_id={session}&_state=a%2Fb%3D="
        return f"{base}/v2/{path}/blobs/uploads/{session}"

    def _manifest(self, asked: Asked, at: Repository, path: str, rest: str, query: dict[str, str]) -> Answer:
        digest = at.tags.get(rest, rest)
        if asked.method == "PUT":
            return self._put_manifest(asked, at, rest)
        if asked.method == "DELETE" and not self.habits.deletes:
            return _error(405, "UNSUPPORTED")
        if asked.method == "DELETE" and ":" in rest:
            at.tags = {tag: named for tag, named in at.tags.items() if named != digest}
            return Answer(202) if at.manifests.pop(digest, None) else _error(404, "MANIFEST_UNKNOWN")
        if asked.method == "DELETE" and self.habits.deletes_tags != 202:
            return _error(self.habits.deletes_tags, "UNSUPPORTED")
        if digest not in at.manifests:
            return _error(404, "MANIFEST_UNKNOWN")
        if asked.method == "DELETE":
            del at.tags[rest]
            return Answer(202)
        media_type, body = at.manifests[digest]
        return Answer(200, {"Content-Type": media_type, "Docker-Content-Digest": digest}, body)

    def _put_manifest(self, asked: Asked, at: Repository, rest: str) -> Answer:
        digest = _digest(asked.body, rest)
        if ":" in rest and digest != rest:
            return _error(400, "DIGEST_INVALID")
        document = json.loads(asked.body)
        refers = [document["config"], *document["layers"]] if "layers" in document else []
        if self.habits.checks and any(one["digest"] not in at.blobs for one in refers):
            return _error(400, "MANIFEST_BLOB_UNKNOWN")
        if self.habits.checks and any(one["digest"] not in at.manifests for one in document.get("manifests", ())):
            return _error(400, "MANIFEST_UNKNOWN")
        if self.habits.immutable and rest in at.tags:
            return _error(400, "TAG_INVALID", self.habits.immutable)
        at.manifests[digest] = (asked.headers["content-type"], asked.body)
        if ":" not in rest:
            at.tags[rest] = digest
        subject = document.get("subject", {}).get("digest")
        told = {"OCI-Subject": subject} if subject and self.habits.referrers else {}
        return Answer(self.habits.manifest_status, {"Docker-Content-Digest": digest, **told})

    def _tags(self, asked: Asked, at: Repository, path: str, rest: str, query: dict[str, str]) -> Answer:
        names = sorted(tag for tag in at.tags if tag > query.get("last", ""))
        page = names[: min(int(query.get("n", "1000")), 100)]
        link = f'</v2/{path}/tags/list?n=100&last={page[-1]}>; rel="next"' if len(page) < len(names) else ""
        return Answer(200, {"Link": link}, json.dumps({"name": path, "tags": page}).encode())

    def _referrers(self, asked: Asked, at: Repository, path: str, rest: str, query: dict[str, str]) -> Answer:
        if not self.habits.referrers:
            return Answer(404, {"Content-Type": "text/plain"}, b"404 page not found")
        found = [
            {"mediaType": media_type, "digest": digest, "size": len(body)}
            for digest, (media_type, body) in at.manifests.items()
            if json.loads(body).get("subject", {}).get("digest") == rest
        ]
        listed = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
        return Answer(200, {"Content-Type": OCI_INDEX}, json.dumps(listed).encode())


def _digest(body: bytes, like: str) -> str:
    algorithm = like.partition(":")[0] if ":" in like else "sha256"
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


def _error(status: int, code: str, message: str = "") -> Answer:
    errors = {"errors": [{"code": code, "message": message or code.lower().replace("_", " ")}]}
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(errors).encode())


ECR = Habits(patch_status=201, takes_chunks=False, mount=False, must_exist=True, deletes_tags=405, immutable="")
ARTIFACTORY = Habits(takes_whole=False)
GHCR = Habits(deletes=False, referrers=False)
DOCKER_HUB = Habits(deletes_tags=405, referrers=False)
HARBOR = Habits(immutable="Failed to process request due to 'app:1' configured as immutable.", deletes_tags=405)
NEXUS = Habits(deletes_tags=404, referrers=False, mount=None, says=(("Server", "Nexus/3.89.0"),))
QUAY = Habits(manifest_status=202, put_status=204, mount=False)
SPECIFICATION = Habits()

PRODUCTS = {
    "the specification": SPECIFICATION,
    "ECR": ECR,
    "Artifactory": ARTIFACTORY,
    "GHCR": GHCR,
    "Docker Hub": DOCKER_HUB,
    "Harbor": HARBOR,
    "Nexus": NEXUS,
    "Quay": QUAY,
}

KIND_OF = {
    "ECR": "Amazon ECR",
    "Artifactory": "Artifactory",
    "GHCR": "GitHub Container Registry",
    "Docker Hub": "Docker Hub",
    "Harbor": "Harbor",
    "Nexus": "Nexus",
    "Quay": "Quay",
}
"""The names of the products in `reconciler.registry.kinds`."""


@dataclass(frozen=True)
class InMemoryCloud:
    """Stands for ECR's own API at a scripted registry."""

    registry: MemoryRegistry

    def create(self, path: str) -> None:
        self.registry.repository(path)

    def delete_tags(self, path: str, tags: Sequence[str]) -> dict[str, str]:
        for tag in tags:
            self.registry.repositories[path].tags.pop(tag, None)
        return {}


@contextlib.contextmanager
def start_registry(habits: Habits = SPECIFICATION) -> Iterator[MemoryRegistry]:
    """Runs one on a free port, in plain http."""
    registry = MemoryRegistry(habits)
    with serve_answers(registry) as registry.url:
        yield registry
