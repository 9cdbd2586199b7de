"""The port of `watch` as an ASGI application: probes, metrics, and what starts a run at once.

| path | method | answer |
| --- | --- | --- |
| /healthz | GET | 200 while the process is alive |
| /readyz | GET | 200, or 503 with the reasons |
| /metrics | GET | what `metrics` returns |
| /run?only=GLOB | POST | 202; needs the bearer token |
| /hooks/<kind> | POST | 202; needs the proof of that kind of webhook |

A trigger without its secret is refused before its body is read, except where the body itself is signed. Bodies have a
limit in size, time and number, and paths a limit of their rate.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from reconciler.errors import Malformed
from reconciler.mirrors.only import matches_only
from reconciler.serve.measured import metrics_route
from reconciler.triggers.bodies import Bodies, Refused
from reconciler.triggers.buckets import TokenBucket
from reconciler.triggers.formats import FORMATS
from reconciler.triggers.gathering import Gathering
from reconciler.triggers.hints import Upstreams
from reconciler.triggers.payload import parse_payload
from reconciler.triggers.secrets import Told, in_authorization, read_secret
from reconciler.words import plain

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from reconciler.mirrors.model import Mirrors
    from reconciler.serve.measured import Metrics
    from reconciler.triggers.formats.format import Format
    from reconciler.triggers.gathering import Targets, Wake
    from reconciler.triggers.hints import Hint
    from reconciler.triggers.secrets import Secret

logger = logging.getLogger(__name__)

PROBES = ("/healthz", "/readyz", "/v2", "/v2/")
"""Paths that are answered however many requests there are."""

VARIABLE = "R2MIRROR_RUN_TOKEN"
"""The environment variable that has the token for /run, and whose presence switches it on."""

RATE, BURST = 20.0, 200
"""Triggers a second that a path accepts, and how many at once."""

MAX_GLOBS = 100

RESULTS = ("queued", "unknown", "ignored", "refused", "invalid", "limited")
"""What becomes of a trigger. Pushes to an `unknown` repository are counted one by one; `limited`: answered 429."""


class Health(Protocol):
    """The state of what the port belongs to."""

    def reasons(self) -> list[str]:
        """Returns why it is not ready, a sentence each; empty: it is. Has to return at once."""
        ...


class Port:
    """The endpoints. They run on the event loop's thread, except for /metrics.

    health    whether it is ready
    files     the watched files, each with its last valid content
    wake      runs some targets of a file; called at most once a second for each file
    metrics   returns the metrics and their Content-Type; None: there are none
    registry  answers every other path; None: they are 404
    environ   has the token and the secrets. Raises `UsageError` for one that can be guessed

    `counts` has how many triggers there were, by path and result.
    """

    def __init__(
        self,
        health: Health,
        files: Callable[[], Mapping[str, Mirrors]],
        wake: Wake,
        metrics: Metrics | None = None,
        registry: ASGIApp | None = None,
        *,
        environ: Mapping[str, str],
    ) -> None:
        self._health, self._files, self._metrics, self._registry = health, files, metrics, registry
        self._gathering = Gathering(wake)
        self._token = read_secret(environ, VARIABLE)
        hooks = [(one, read_secret(environ, one.variable)) for one in FORMATS]
        self.hooks: dict[str, tuple[Format, Secret]] = {one.kind: (one, secret) for one, secret in hooks if secret}
        paths = [*(["/run"] if self._token else ()), *(f"/hooks/{kind}" for kind in self.hooks)]
        # Zeros too: a rate needs the value from before the first one.
        self.counts = Counter({(path, result): 0 for path in paths for result in RESULTS})
        self._buckets: dict[str, TokenBucket] = {}
        self._bodies = Bodies()

    def application(self) -> Starlette:
        """Builds the application."""
        routes: list[BaseRoute] = [
            Route("/healthz", self._alive),
            Route("/readyz", self._ready),
            Route("/run", self._run, methods=["POST"]),
            Route("/hooks/{kind}", self._hook, methods=["POST"]),
        ]
        if self._metrics:
            routes.append(metrics_route(self._metrics))
        if self._registry:
            routes.append(Mount("/", self._registry))
        handlers = {Refused: _refused, HTTPException: _unknown}
        application = Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type]
        application.router.redirect_slashes = False
        return application

    async def _alive(self, _: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def _ready(self, _: Request) -> Response:
        reasons = self._health.reasons()
        return PlainTextResponse("".join(f"{plain(one)}\n" for one in reasons) or "ready\n", 503 if reasons else 200)

    async def _run(self, request: Request) -> Response:
        if self._token is None:
            raise Refused(404, f"/run is not available: the environment variable {VARIABLE} is not set")
        self._admit("/run", in_authorization(self._token, _told(request)))
        globs = request.query_params.getlist("only")
        if len(globs) > MAX_GLOBS:
            raise self._invalid("/run", f"more than {MAX_GLOBS} globs")
        targets = {file: _chosen(mirrors, globs) for file, mirrors in self._files().items()}
        if globs and not any(targets.values()):
            self.counts["/run", "unknown"] += 1
            raise Refused(404, f"no target matches {', '.join(globs)[:200]}")
        wanted = {file: some if globs else None for file, some in targets.items() if some or not globs}
        return self._queued("/run", wanted, 0)

    async def _hook(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        if kind not in self.hooks:
            raise Refused(404, _not_available(kind))
        format_, secret = self.hooks[kind]
        path, told = f"/hooks/{kind}", _told(request)
        if format_.proof:
            self._admit(path, format_.proof(secret, told))
        body = await self._bodies.read(request.stream())
        if not format_.proof:
            self._admit(path, secret.signs(body, told.headers.get(format_.signature, "")))
        if told.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise self._invalid(path, "the body is a form; set the content type of the webhook to application/json")
        return self._taken(path, self._parsed(path, format_, told, body))

    def _taken(self, path: str, hints: list[Hint]) -> Response:
        upstreams, unknown = Upstreams(self._files()), 0
        wanted: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
        for hint in hints:
            found = upstreams.concerned(hint)
            unknown += not found
            logger.info("%s: %s was pushed%s", path, hint, "" if found else ", which no mirror has as its source")
            for file, target in found:
                wanted[file] |= {target}
        if not hints:
            self.counts[path, "ignored"] += 1
        return self._queued(path, wanted, unknown)

    def _parsed(self, path: str, format_: Format, told: Told, body: bytes) -> list[Hint]:
        try:
            payload = parse_payload(body, f"webhook of {format_.upstream}")
            return list(format_.parse(told.headers, payload))
        except Malformed as error:
            raise self._invalid(path, str(error)) from None

    def _queued(self, path: str, wanted: Mapping[str, Targets], unknown: int) -> Response:
        later = asyncio.get_running_loop().call_later
        for file, targets in wanted.items():
            self._gathering.add(file, targets, later)
        self.counts[path, "unknown"] += unknown
        self.counts[path, "queued"] += bool(wanted)
        # A sender is told numbers only, not the names of other mirrors.
        return JSONResponse({"queued": len(wanted), "unknown": unknown}, 202)

    def _admit(self, path: str, proven: bool) -> None:  # noqa: FBT001 the result of a comparison
        """Counts a request. Raises `Refused` without a proof, or if there are too many."""
        if not proven:
            if not self.counts[path, "refused"]:
                logger.warning("%s: a request without the secret was refused; further ones are only counted", path)
            self.counts[path, "refused"] += 1
            raise Refused(401, "the secret or signature is missing or wrong", **{"WWW-Authenticate": "Bearer"})
        # After the proof: without the secret no one can use up the rate of those who have it.
        wait = self._buckets.setdefault(path, TokenBucket(RATE, BURST)).take()
        if wait:
            self.counts[path, "limited"] += 1
            raise Refused(429, "too many triggers; try again later", **{"Retry-After": str(wait)})

    def _invalid(self, path: str, why: str) -> Refused:
        self.counts[path, "invalid"] += 1
        return Refused(400, why)


def _told(request: Request) -> Told:
    return Told(dict(request.headers), dict(request.query_params))


def _chosen(mirrors: Mirrors, globs: list[str]) -> frozenset[str]:
    return frozenset(mirror.target for mirror in mirrors.mirrors if matches_only(mirror.target, globs))


def _not_available(kind: str) -> str:
    known = {one.kind: one.variable for one in FORMATS}
    if kind not in known:
        return f"there is no such kind of webhook; the kinds are {', '.join(known)}"
    return f"/hooks/{kind} is not available: the environment variable {known[kind]} is not set"


async def _refused(_: Request, refused: Refused) -> Response:
    return JSONResponse({"error": refused.why}, refused.status, refused.headers)


async def _unknown(request: Request, error: HTTPException) -> Response:
    why = "use POST" if error.status_code == 405 else f"{request.url.path[:200]} is not a path of this port"
    return JSONResponse({"error": why}, error.status_code, error.headers)
