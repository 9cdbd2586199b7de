"""A store as a read-only registry, for a folder, a private bucket, a cluster: the local twin of the edge. ASGI.

The paths are the keys of layout.py, each spelled anew from a name, a tag or a digest that was parsed: nothing else in
the store can be asked for. What a static bucket cannot do is done here: pages, filters, errors in the specification's
form, digests in headers.

Endpoints are plain functions, which Starlette runs on a pool of 40 threads. A blob's chunks are fetched one at a time,
each on such a thread, so that a slow client holds one chunk of memory and no thread. A client that goes away ends the
read of the store.

Sources: OCI distribution specification 1.1 and its error codes; RFC 9110 for the rest.
"""

from __future__ import annotations

import json
import logging
import socket
from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from uvicorn import Config, Server

from reconciler.answers import byte_range, is_current, page, referrers_of_type
from reconciler.errors import Malformed, StoreError, UsageError
from reconciler.layout import (
    BLOB_HEADERS,
    CATALOG,
    JSON_HEADERS,
    PAGE,
    PAGE_HEADERS,
    REFERRERS_HEADERS,
    Headers,
    blob_key,
    manifest_headers,
    manifest_key,
    referrers_key,
    tags_key,
    target_problem,
)
from reconciler.oci import OCI_INDEX, Digest, is_repository, is_tag, load_json, parse_manifest

if TYPE_CHECKING:
    from collections.abc import Generator

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from reconciler.store import Store

logger = logging.getLogger(__name__)

CONNECTIONS = 256
"""Clients at once, beyond which a request is answered 503. Each may hold one chunk of a blob in memory."""

PIECE = 64 * 1024
"""Bytes handed over at once: as many wait again in the connection's own buffer."""

RETRY_AFTER = 10
"""Seconds after which a client may try again when the store fails."""

STOP_TIMEOUT = 10
"""Seconds that downloads get to end when the server is stopped."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that accepts connections, on a free port if `port` is 0. Raises `UsageError`."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"cannot listen on {host} port {port}: {reason}; choose another with --port (0 takes a free one) or --host"
        ) from error


def server(store: Store, *, access_log: bool) -> Server:
    """The server; `run(sockets=[...])` serves until SIGINT or SIGTERM. `access_log`: a line for each request, at INFO.

    Which of uvicorn's many parts are used does not depend on what else is installed.
    """
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    logging.getLogger("uvicorn.access").setLevel(logging.INFO)
    return Server(
        Config(
            registry(store),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=access_log,
            proxy_headers=False,
            server_header=False,
            headers=[("Docker-Distribution-API-Version", "registry/2.0")],
            limit_concurrency=CONNECTIONS + 1,
            timeout_graceful_shutdown=STOP_TIMEOUT,
        )
    )


def registry(store: Store) -> Starlette:
    """The application that answers from `store`."""
    answers = _Registry(store)
    routes = [
        Route("/", answers.page),
        Route("/v2/", answers.ping),
        Route("/v2/_catalog", answers.catalog),
        Route("/v2/{name:path}/tags/list", answers.tags),
        Route("/v2/{name:path}/manifests/{reference}", answers.manifest),
        Route("/v2/{name:path}/blobs/{digest}", answers.blob),
        Route("/v2/{name:path}/referrers/{digest}", answers.referrers),
    ]
    handlers: dict[Any, Any] = {
        HTTPException: _no_endpoint,
        _Refusal: lambda _, refusal: refusal.answer(),
        Malformed: _damaged,
        StoreError: _unavailable,
    }
    application = Starlette(routes=routes, exception_handlers=handlers)
    application.router.redirect_slashes = False
    return application


def an_image(store: Store) -> str | None:
    """`repository:tag` of something that can be pulled, None if the lists show nothing. Raises `StoreError`."""
    found = store.get(CATALOG)
    try:
        names = _list(found.body, "repositories", CATALOG) if found else []
        listed = store.get(tags_key(names[0])) if names and is_repository(names[0]) else None
        tags = _list(listed.body, "tags", tags_key(names[0])) if listed else []
    except Malformed:
        return None  # Who asks for that list is told; everything else can be pulled.
    return f"{names[0]}:{tags[-1]}" if tags else None


class _Refusal(Exception):
    """An answer that is an error of the client's, in the form of the specification ("Error Codes")."""

    def __init__(self, status: int, code: str, message: str, detail: object = None) -> None:
        super().__init__(status, code, message, detail)
        self.status, self.code, self.message, self.detail = status, code, message, detail

    def answer(self, **headers: str) -> Response:
        error = {"code": self.code, "message": self.message, "detail": self.detail}
        return JSONResponse({"errors": [error]}, self.status, headers)


class _Registry:
    """The endpoints. Each is called on a thread, and raises `_Refusal`, `Malformed` or `StoreError`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def ping(self, request: Request) -> Response:
        return _whole(request, b"{}", JSON_HEADERS)

    def page(self, request: Request) -> Response:
        found = self._store.get(PAGE)
        if found is None:
            raise _Refusal(404, "UNSUPPORTED", "there is no catalog page; the registry is under /v2/")
        return _whole(request, found.body, PAGE_HEADERS)

    def catalog(self, request: Request) -> Response:
        found = self._store.get(CATALOG)
        names = _list(found.body, "repositories", self._what(CATALOG)) if found else []
        return _paged(request, names, {}, "repositories")

    def tags(self, request: Request) -> Response:
        name = _name(request)
        found = self._store.get(tags_key(name))
        if found is None:
            raise _Refusal(404, "NAME_UNKNOWN", "repository name not known to registry", {"name": name})
        tags = _list(found.body, "tags", self._what(tags_key(name)))
        return _paged(request, tags, {"name": name}, "tags")

    def manifest(self, request: Request) -> Response:
        name, reference = _name(request), _reference(request)
        key = manifest_key(name, reference)
        found = self._store.get(key)
        if found is None:
            raise _manifest_unknown(name, str(reference))
        digest = reference if isinstance(reference, Digest) else Digest.of(found.body)
        if not digest.matches(found.body):
            raise Malformed(self._what(key), "its bytes are not those of its digest")
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
        headers = _fields(
            BLOB_HEADERS, f'"{digest}"', **{"Docker-Content-Digest": str(digest), "Accept-Ranges": "bytes"}
        )
        if is_current(request.headers.get("if-none-match"), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        if request.method == "HEAD":
            return Response(headers={**headers, "Content-Length": str(size)})
        if request.headers.get("if-range", headers["ETag"]) != headers["ETag"]:
            wanted = None
        else:
            wanted = byte_range(request.headers.get("range"), size)
        if wanted is None:
            return self._stream(name, digest, range(size), 200, headers)
        if not wanted:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{size}"
        return self._stream(name, digest, wanted, 206, headers)

    def referrers(self, request: Request) -> Response:
        """Never 404 for a digest that could be one, for that would mean that there are no referrers to be asked for."""
        name, digest = _name(request), _digest(request)
        key = referrers_key(name, digest)
        found = self._store.get(key)
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
        if found is not None:
            index = _object(found.body, self._what(key))
            if not all(isinstance(entry, dict) for entry in _entries(index, "manifests", self._what(key))):
                raise Malformed(self._what(key), "an entry of manifests is not an object")
        wanted = request.query_params.get("artifactType")
        if not wanted:
            return _whole(request, found.body if found else _json(index), REFERRERS_HEADERS)
        body = _json(referrers_of_type(index, wanted))
        return _whole(request, body, REFERRERS_HEADERS, **{"OCI-Filters-Applied": "artifactType"})

    def _stream(self, name: str, digest: Digest, part: range, status: int, headers: dict[str, str]) -> Response:
        """The answer with a part of a blob, whose first chunk is here already, so that a store that fails is a 503."""
        key = blob_key(name, digest)
        chunks = self._store.read(key, part.start, len(part)) if part else (_ for _ in ())
        if chunks is None:
            raise _blob_unknown(name, digest)
        headers["Content-Length"] = str(len(part))
        return _Stream(next(chunks, b""), chunks, len(part), self._what(key), status, headers)

    def _what(self, key: str) -> str:
        return f"{self._store.name}/{key}"


class _Stream(StreamingResponse):
    """Sends `size` bytes: `first`, then `chunks`, each fetched on a thread when the client has taken the one before.

    However it ends, `chunks` is closed. Where the store fails, or has not so many bytes, the connection ends early,
    which a client knows by the Content-Length.
    """

    def __init__(
        self,
        first: bytes,
        chunks: Generator[bytes, None, None],
        size: int,
        what: str,
        status: int,
        headers: dict[str, str],
    ) -> None:
        super().__init__(chunks, status, headers)
        self._first, self._chunks, self._left, self._what = first, chunks, size, what

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._chunks.close()

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        chunk: bytes | None = self._first
        try:
            while self._left and chunk and len(chunk) <= self._left:
                self._left -= len(chunk)
                for start in range(0, len(chunk), PIECE):
                    piece = memoryview(chunk)[start : start + PIECE]
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                chunk = await run_in_threadpool(next, self._chunks, None)
        except StoreError as error:
            logger.warning("an answer was cut off: %s", error)
            return
        if self._left or chunk:
            logger.warning("an answer was cut off: %s: not as many bytes as the store said", self._what)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    if not is_repository(name):
        raise _Refusal(400, "NAME_INVALID", target_problem(name) or "", {"name": name})
    if target_problem(name):
        raise _Refusal(404, "NAME_UNKNOWN", "repository name not known to registry", {"name": name})
    return name


def _reference(request: Request) -> Digest | str:
    reference: str = request.path_params["reference"]
    if ":" in reference:
        return _parsed_digest(reference)
    if not is_tag(reference):
        raise _manifest_unknown(request.path_params["name"], reference)
    return reference


def _digest(request: Request) -> Digest:
    return _parsed_digest(request.path_params["digest"])


def _parsed_digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except Malformed as error:
        raise _Refusal(400, "DIGEST_INVALID", error.why, {"digest": text}) from None


def _manifest_unknown(name: str, reference: str) -> _Refusal:
    return _Refusal(404, "MANIFEST_UNKNOWN", "manifest unknown to registry", {"name": name, "reference": reference})


def _blob_unknown(name: str, digest: Digest) -> _Refusal:
    return _Refusal(404, "BLOB_UNKNOWN", "blob unknown to registry", {"name": name, "digest": str(digest)})


def _whole(request: Request, body: bytes, headers: Headers, **more: str) -> Response:
    """An answer whose bytes are in memory, or 304 for a client that has them. A HEAD's body the server leaves out."""
    etag = f'"{Digest.of(body)}"'
    fields = _fields(headers, etag, **more)
    if is_current(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=fields)
    return Response(body, headers=fields)


def _fields(headers: Headers, etag: str, **more: str) -> dict[str, str]:
    return {"Content-Type": headers.content_type, "Cache-Control": headers.cache_control, "ETag": etag, **more}


def _paged(request: Request, entries: list[str], document: dict[str, Any], field: str) -> Response:
    """The page of a list that the query asks for, in `document` under `field`, with a Link to the next one."""
    query = request.query_params
    shown = page(entries, query.get("n"), query.get("last"))
    if shown is None:
        raise _Refusal(400, "UNSUPPORTED", "n has to be a whole number, 0 or more", {"n": query["n"]})
    link = {"Link": f'<{request.scope["path"]}?{shown.following}>; rel="next"'} if shown.following else {}
    return _whole(request, _json({**document, field: shown.entries}), JSON_HEADERS, **link)


def _list(body: bytes, field: str, what: str) -> list[str]:
    """The strings of a published list. Raises `Malformed`."""
    entries = _entries(_object(body, what), field, what)
    if not all(isinstance(entry, str) for entry in entries):
        raise Malformed(what, f"an entry of {field} is not a string")
    return entries


def _object(body: bytes, what: str) -> dict[str, Any]:
    document = load_json(body, what)
    if not isinstance(document, dict):
        raise Malformed(what, "expected a JSON object")
    return document


def _entries(document: dict[str, Any], field: str, what: str) -> list[Any]:
    entries = document.get(field)
    if not isinstance(entries, list):
        raise Malformed(what, f"expected a list under {field}")
    return entries


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _no_endpoint(request: Request, _: HTTPException) -> Response:
    """What no route took: another method than GET and HEAD, or a path that no registry has."""
    if request.method not in ("GET", "HEAD"):
        refusal = _Refusal(405, "UNSUPPORTED", "this registry is read-only")
        return refusal.answer(Allow="GET, HEAD")
    return _Refusal(404, "UNSUPPORTED", "no path of a registry").answer()


def _damaged(_: Request, error: Malformed) -> Response:
    logger.warning("%s. `r2mirror verify --repair` writes it again", error)
    return _Refusal(500, "MANIFEST_INVALID", "what is stored here is damaged; the operator's log says more").answer()


def _unavailable(_: Request, error: StoreError) -> Response:
    """The client learns nothing of the store: not its name, not its credentials."""
    logger.warning("%s", error)
    refusal = _Refusal(503, "UNAVAILABLE", "the registry's storage does not answer; the operator's log says more")
    return refusal.answer(**{"Retry-After": str(RETRY_AFTER)})


def _is_news(record: logging.LogRecord) -> bool:
    """Leaves out what uvicorn says of answers that we cut off, having said why, and of clients that try TLS first.

    And the traceback of each answer that is cut off when the server stops, of which there is one line already.
    """
    if record.exc_info and isinstance(record.exc_info[1], CancelledError):
        return False
    return not record.getMessage().startswith(("ASGI callable returned without", "Invalid HTTP request"))
