"""The registry as an ASGI application: a path becomes a key, and the object at the key becomes an answer.

Keys are built only from a parsed name, tag or digest, so no other object of the store can be requested. What a static
bucket cannot do is done here: pages, filters, errors in the specification's form, and digests in headers.

Endpoints are plain functions, which Starlette runs on a pool of 40 threads.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from reconciler.errors import Malformed, StoreError
from reconciler.oci.spec import OCI_INDEX, Digest, is_repository, is_tag, parse_manifest
from reconciler.serve.answers import byte_range, is_current, page, referrers_of_type
from reconciler.serve.lists import parse_list, parse_referrers
from reconciler.serve.refusals import Refusal, damaged, no_endpoint, store_failed
from reconciler.serve.stream import Stream
from reconciler.target.layout import (
    BLOB_HEADERS,
    CATALOG,
    JSON_HEADERS,
    PAGE,
    PAGE_HEADERS,
    REFERRERS_HEADERS,
    blob_key,
    manifest_headers,
    manifest_key,
    referrers_key,
    referrers_prefix,
    tags_key,
    target_problem,
)

if TYPE_CHECKING:
    from starlette.requests import Request

    from reconciler.pulls.counter import Counter
    from reconciler.stores import Store
    from reconciler.stores.headers import Headers


def registry(store: Store, counter: Counter | None = None) -> Starlette:
    """Builds the application that answers from `store`, and counts in `counter` which tags clients resolve."""
    answers = _Registry(store, counter)
    routes = [
        Route("/", answers.page),
        Route(f"/{PAGE}", answers.page),
        Route("/v2/", answers.ping),
        Route("/v2/_catalog", answers.catalog),
        Route("/v2/{name:path}/tags/list", answers.tags),
        Route("/v2/{name:path}/manifests/{reference}", answers.manifest),
        Route("/v2/{name:path}/blobs/{digest}", answers.blob),
        Route("/v2/{name:path}/referrers/{digest}", answers.referrers),
    ]
    handlers: dict[Any, Any] = {
        HTTPException: no_endpoint,
        Refusal: lambda _, refusal: refusal.answer(),
        Malformed: damaged,
        StoreError: store_failed,
    }
    application = Starlette(routes=routes, exception_handlers=handlers)
    # Starlette would redirect an unknown path to the same path with or without a slash, instead of 404.
    application.router.redirect_slashes = False
    return application


class _Registry:
    """The endpoints. All except `ping` run on a thread. They raise `Refusal`, `Malformed` or `StoreError`."""

    def __init__(self, store: Store, counter: Counter | None) -> None:
        self._store, self._counter = store, counter

    async def ping(self, request: Request) -> Response:
        # async, so that a probe is answered even while every thread waits for the store.
        return _whole(request, b"{}", JSON_HEADERS)

    def page(self, request: Request) -> Response:
        found = self._store.get(PAGE)
        if found is None:
            raise Refusal(404, "UNSUPPORTED", "there is no catalog page; the registry is under /v2/")
        return _whole(request, found.body, PAGE_HEADERS)

    def catalog(self, request: Request) -> Response:
        found = self._store.get(CATALOG)
        names = parse_list(found.body, "repositories", self._what(CATALOG)) if found else []
        return _paged(request, names, {}, "repositories")

    def tags(self, request: Request) -> Response:
        name = _name(request)
        found = self._store.get(tags_key(name))
        if found is None:
            raise Refusal(404, "NAME_UNKNOWN", "repository name not known to registry", {"name": name})
        tags = parse_list(found.body, "tags", self._what(tags_key(name)))
        return _paged(request, tags, {"name": name}, "tags")

    def manifest(self, request: Request) -> Response:
        name, reference = _name(request), _reference(request)
        key = manifest_key(name, reference)
        found = self._store.get(key)
        if self._counter and isinstance(reference, str):
            self._counter.asked(name, reference, is_there=found is not None)
        if found is None:
            raise _manifest_unknown(name, str(reference))
        digest = reference if isinstance(reference, Digest) else Digest.of(found.body)
        # A manifest is small enough to be checked each time. Blobs are not: clients hash them.
        if not digest.matches(found.body):
            raise Malformed(self._what(key), "its bytes do not match its digest")
        stored_type = found.headers.content_type if found.headers else ""
        media_type = parse_manifest(found.body, stored_type, self._what(key)).media_type
        headers = manifest_headers(media_type, reference)
        return _whole(request, found.body, headers, **{"Docker-Content-Digest": str(digest)})

    def blob(self, request: Request) -> Response:
        name, digest = _name(request), _digest(request)
        key = blob_key(name, digest)
        size = self._store.size(key)
        if size is None:
            raise _blob_unknown(name, digest)
        etag = f'"{digest}"'
        headers = _fields(BLOB_HEADERS, etag, **{"Docker-Content-Digest": str(digest), "Accept-Ranges": "bytes"})
        if is_current(request.headers.get("if-none-match"), etag):
            return Response(status_code=304, headers=headers)
        if request.method == "HEAD":
            return Response(headers={**headers, "Content-Length": str(size)})
        # If-Range compares strongly (RFC 9110, 13.1.5). Blobs have no date, so a date there never matches.
        is_same = request.headers.get("if-range", etag) == etag
        wanted = byte_range(request.headers.get("range"), size) if is_same else None
        if wanted is None:
            return self._stream(name, digest, range(size), 200, headers)
        if not wanted:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{size}"
        return self._stream(name, digest, wanted, 206, headers)

    def referrers(self, request: Request) -> Response:
        # 404 tells a client that this registry has no referrers API and that it should try the fallback tag. So a
        # digest without referrers gets an empty list, and a repository whose referrers are not mirrored gets 404.
        name, digest = _name(request), _digest(request)
        key = referrers_key(name, digest)
        found = self._store.get(key)
        if found is None and next(iter(self._store.list(referrers_prefix(name))), None) is None:
            raise Refusal(404, "UNSUPPORTED", "referrers of this repository are not mirrored", {"name": name})
        body = found.body if found else _json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})
        index = parse_referrers(body, self._what(key))
        wanted = request.query_params.get("artifactType")
        if not wanted:
            return _whole(request, body, REFERRERS_HEADERS)
        body = _json(referrers_of_type(index, wanted))
        return _whole(request, body, REFERRERS_HEADERS, **{"OCI-Filters-Applied": "artifactType"})

    def _stream(self, name: str, digest: Digest, part: range, status: int, headers: dict[str, str]) -> Response:
        # The first chunk is read here, before the status is sent, so that a failing store is still a 503.
        key = blob_key(name, digest)
        chunks = self._store.read(key, part.start, len(part)) if part else (_ for _ in ())
        if chunks is None:
            raise _blob_unknown(name, digest)
        headers["Content-Length"] = str(len(part))
        return Stream(next(chunks, b""), chunks, len(part), self._what(key), status, headers)

    def _what(self, key: str) -> str:
        return f"{self._store.name}/{key}"


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    if not is_repository(name):
        raise Refusal(400, "NAME_INVALID", target_problem(name) or "", {"name": name})
    # Valid by the specification, but no mirror has it, e.g. `a/tags`: its keys would be those of another endpoint.
    if target_problem(name):
        raise Refusal(404, "NAME_UNKNOWN", "repository name not known to registry", {"name": name})
    return name


def _reference(request: Request) -> Digest | str:
    reference: str = request.path_params["reference"]
    if ":" in reference:
        return _parsed_digest(reference)
    # 404 like a missing tag, not 400: the conformance suite requires it.
    if not is_tag(reference):
        raise _manifest_unknown(request.path_params["name"], reference)
    return reference


def _digest(request: Request) -> Digest:
    return _parsed_digest(request.path_params["digest"])


def _parsed_digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except Malformed as error:
        raise Refusal(400, "DIGEST_INVALID", error.why, {"digest": text}) from None


def _manifest_unknown(name: str, reference: str) -> Refusal:
    return Refusal(404, "MANIFEST_UNKNOWN", "manifest unknown to registry", {"name": name, "reference": reference})


def _blob_unknown(name: str, digest: Digest) -> Refusal:
    return Refusal(404, "BLOB_UNKNOWN", "blob unknown to registry", {"name": name, "digest": str(digest)})


def _whole(request: Request, body: bytes, headers: Headers, **more: str) -> Response:
    """Answers with a body in memory, or with 304 if the client has it. For HEAD the server omits the body."""
    etag = f'"{Digest.of(body)}"'
    fields = _fields(headers, etag, **more)
    if is_current(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=fields)
    return Response(body, headers=fields)


def _fields(headers: Headers, etag: str, **more: str) -> dict[str, str]:
    return {"Content-Type": headers.content_type, "Cache-Control": headers.cache_control, "ETag": etag, **more}


def _paged(request: Request, entries: list[str], document: dict[str, Any], field: str) -> Response:
    """Answers with the requested page of a list, in `document` under `field`, with a Link to the next page."""
    query = request.query_params
    shown = page(entries, query.get("n"), query.get("last"))
    if shown is None:
        raise Refusal(400, "UNSUPPORTED", "n has to be a non-negative integer", {"n": query["n"]})
    link = {"Link": f'<{request.scope["path"]}?{shown.following}>; rel="next"'} if shown.following else {}
    return _whole(request, _json({**document, field: shown.entries}), JSON_HEADERS, **link)


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
