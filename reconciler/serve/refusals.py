"""What cannot be answered, as the specification has it ("Error Codes"), and what of it the operator is told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from starlette.exceptions import HTTPException
    from starlette.requests import Request

    from reconciler.errors import Malformed, StoreError

logger = logging.getLogger(__name__)

RETRY_AFTER = 10
"""Seconds after which a client may try again when the store fails."""


class Refusal(Exception):
    """An answer that is an error of the client's, in the form of the specification ("Error Codes")."""

    def __init__(self, status: int, code: str, message: str, detail: object = None) -> None:
        super().__init__(status, code, message, detail)
        self.status, self.code, self.message, self.detail = status, code, message, detail

    def answer(self, **headers: str) -> Response:
        error = {"code": self.code, "message": self.message, "detail": self.detail}
        return JSONResponse({"errors": [error]}, self.status, headers)


def no_endpoint(request: Request, _: HTTPException) -> Response:
    """What no route took: another method than GET and HEAD, or a path that no registry has."""
    if request.method not in ("GET", "HEAD"):
        refusal = Refusal(405, "UNSUPPORTED", "this registry is read-only")
        return refusal.answer(Allow="GET, HEAD")
    return Refusal(404, "UNSUPPORTED", "no path of a registry").answer()


def damaged(_: Request, error: Malformed) -> Response:
    logger.warning("%s. `r2mirror verify --repair` writes it again", error)
    return Refusal(500, "MANIFEST_INVALID", "what is stored here is damaged; the operator's log says more").answer()


def unavailable(_: Request, error: StoreError) -> Response:
    """The client learns nothing of the store: not its name, not its credentials."""
    logger.warning("%s", error)
    refusal = Refusal(503, "UNAVAILABLE", "the registry's storage does not answer; the operator's log says more")
    return refusal.answer(**{"Retry-After": str(RETRY_AFTER)})
