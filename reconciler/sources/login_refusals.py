"""What a registry's refusal is about: the login as such, or one repository."""

from __future__ import annotations

import re

import httpx

from reconciler.http.bodies import read_start

_ABOUT_THE_LOGIN = re.compile(
    rb"expire|too old|renew|refresh|re-?auth|log ?in|credential|password|token", re.IGNORECASE
)

_WRONG_LOGIN = re.compile(
    rb"expired|too old|authentication (failed|required)|bad credentials"
    rb"|(invalid|incorrect|wrong).{0,20}(user|password|token|credential|login)"
    rb"|(user|password|token|credential|login).{0,20}(invalid|incorrect|wrong)",
    re.IGNORECASE,
)
"""What a 403 says that is about the login itself and not about one repository."""


def is_about_the_login(response: httpx.Response, body: bytes) -> bool:
    """Whether a refusal may be over with other credentials: a 401, or a 403 that says so, or cannot for it has no body.

    ECR answers 403 where its password of twelve hours has run out.
    """
    if response.status_code == httpx.codes.FORBIDDEN:
        return response.request.method == "HEAD" or bool(_ABOUT_THE_LOGIN.search(body))
    return response.status_code == httpx.codes.UNAUTHORIZED


def is_wrong_login(response: httpx.Response) -> bool:
    """Whether a refusal is of the login as such: a 401, or a 403 that says so."""
    if response.status_code == httpx.codes.FORBIDDEN:
        return bool(_WRONG_LOGIN.search(read_start(response)))
    return response.status_code == httpx.codes.UNAUTHORIZED
