"""Errors in the specification's form ("Error Codes"), and what is logged about them for the operator."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from reconciler.errors import Malformed, StoreError

if TYPE_CHECKING:
    from starlette.exceptions import HTTPException
    from starlette.requests import Request


logger = logging.getLogger(__name__)

RETRY_AFTER = 10
"""Seconds after which a client may retry when the store fails."""


class Refusal(Exception):
    """An error that is answered to the client in the specification's form."""

    def __init__(self, status: int, code: str, message: str, detail: object = None) -> None:
        super().__init__(status, code, message, detail)
        self.status, self.code, self.message, self.detail = status, code, message, detail

    def answer(self, **headers: str) -> Response:
        error = {"code": self.code, "message": self.message, "detail": self.detail}
        return JSONResponse({"errors": [error]}, self.status, headers)


def no_endpoint(request: Request, _: HTTPException) -> Response:
    """Answers a request without a route: a method other than GET and HEAD, or an unknown path."""
    if request.method not in ("GET", "HEAD"):
        refusal = Refusal(405, "UNSUPPORTED", "this registry is read-only")
        return refusal.answer(Allow="GET, HEAD")
    return no_path().answer()


def no_path() -> Refusal:
    return Refusal(404, "UNSUPPORTED", "not a path of the registry API")


def damaged(_: Request, error: Malformed) -> Response:
    logger.warning("%s. Run `r2mirror verify --repair` to restore it", error)
    return Refusal(500, "MANIFEST_INVALID", "the stored object is damaged; see the operator's log").answer()


def store_failed(_: Request, error: StoreError) -> Response:
    # The client must not learn the store's name or anything about its credentials.
    logger.warning("%s", error)
    refusal = Refusal(503, "UNAVAILABLE", "the registry's storage does not answer; see the operator's log")
    return refusal.answer(**{"Retry-After": str(RETRY_AFTER)})
