"""Tells whether a registry refused a login as such, or access to one repository.

The specification leaves that open: registries answer 401 and 403 for both, and only the text of a 403 tells them apart.
"""

from __future__ import annotations

import re

import httpx

from reconciler.http.bodies import read_start
from reconciler.regex import expression

_ABOUT_THE_LOGIN = expression(
    rb"expire|too old|renew|refresh|re-?auth|log ?in|credential|password|token", re.IGNORECASE
)

_WRONG_LOGIN = expression(
    rb"expired|too old|authentication (failed|required)|bad credentials"
    rb"|(invalid|incorrect|wrong).{0,20}(user|password|token|credential|login)"
    rb"|(user|password|token|credential|login).{0,20}(invalid|incorrect|wrong)",
    re.IGNORECASE,
)
"""The text of a 403 that is about the login itself, not about one repository."""


def is_about_the_login(response: httpx.Response, body: bytes) -> bool:
    """Whether other credentials may help: for a 401, a 403 whose text says so, or a 403 to a HEAD, which has no text.

    ECR answers 403 once its password, valid for twelve hours, has expired.
    """
    if response.status_code == httpx.codes.FORBIDDEN:
        return response.request.method == "HEAD" or bool(_ABOUT_THE_LOGIN.search(body))
    return response.status_code == httpx.codes.UNAUTHORIZED


def is_wrong_login(response: httpx.Response) -> bool:
    """Whether the login as such was refused: by a 401, or by a 403 whose text says so."""
    if response.status_code == httpx.codes.FORBIDDEN:
        return bool(_WRONG_LOGIN.search(read_start(response)))
    return response.status_code == httpx.codes.UNAUTHORIZED
