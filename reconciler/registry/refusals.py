"""Turns what goes wrong at a target's registry into errors of a store, which name what was pushed."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.errors import (
    Denied,
    OutOfTime,
    RateLimited,
    SourceError,
    StoreDenied,
    StoreError,
    StoreUnreachable,
    TagImmutable,
    Unreachable,
)
from reconciler.http.answers import answered, refusal
from reconciler.http.bodies import read_start
from reconciler.sources.translated import CERTIFICATE_ADVICE, misses_certificate, translated

if TYPE_CHECKING:
    from reconciler.sources.registry import Registry, Sent

_IMMUTABLE = re.compile(
    rb"immutab|AlreadyExists|already exists|cannot be (overwritten|updated)|redeploy", re.IGNORECASE
)
"""Words of ECR, Harbor, Docker Hub, Nexus and Artifactory about a tag that keeps its digest."""


@contextlib.contextmanager
def told(what: str, registry: str) -> Iterator[None]:
    """Raises a `StoreError` about `what` for everything that goes wrong at a registry within the block."""
    try:
        with translated(what, registry):
            yield
    except OutOfTime:
        raise
    except SourceError as error:
        raise _kind(error)(error.what, error.why) from None


def _kind(error: SourceError) -> type[StoreError]:
    match error:
        case Denied():
            return StoreDenied
        case Unreachable() | RateLimited():
            return StoreUnreachable
        case _:
            return StoreError


def check(sent: Sent, registry: Registry, what: str, wanted: str) -> None:
    """Raises a `StoreError` unless the answer is a success. `wanted`: what was to be done, e.g. `take this blob`."""
    if not sent.response.is_success:
        raise refused(sent, registry, what, wanted)


def refused(sent: Sent, registry: Registry, what: str, wanted: str) -> StoreError:
    """Makes the error for an answer that is not a success."""
    said = answered(registry.answerer(sent.response), sent.status, refusal(sent.response))
    match sent.status:
        case 400 if wants_certificate(sent):
            return StoreError(what, f"{said}; {CERTIFICATE_ADVICE}")
        case 401 | 403:
            return StoreDenied(what, f"{said}; the login may not {wanted}: check its rights, or log in as another user")
        case 404:
            return StoreError(what, f"{said}; the registry has no such repository: create it, or check its name")
        case 413:
            return StoreError(what, f"{said}; a proxy or the registry takes no body of this size: raise its limit")
        case _:
            return StoreError(what, f"{said}; expected it to {wanted}")


def wants_certificate(sent: Sent) -> bool:
    """Whether an answer misses a client certificate, or does not trust the one that came."""
    return misses_certificate(sent.status, read_start(sent.response).decode("latin-1"))


def is_about_immutability(sent: Sent) -> bool:
    """Whether a refusal says that a tag may not be changed."""
    return bool(_IMMUTABLE.search(read_start(sent.response)))


def immutable(sent: Sent, registry: Registry, what: str) -> TagImmutable:
    """Makes the error for a tag that the registry does not let be changed."""
    said = answered(registry.name, sent.status, refusal(sent.response))
    return TagImmutable(what, f"{said}; the registry keeps this tag as it is: list it as immutable, or change its rule")
