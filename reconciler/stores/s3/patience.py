"""Decides which failures of requests are retried, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import botocore.exceptions as boto
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

if TYPE_CHECKING:
    from reconciler.stores.s3.contact import Contact

CONNECT_TIMEOUT, READ_TIMEOUT = 10, 60
"""Seconds."""

FIRST_ANSWER = 60.0
"""Seconds that the first answer of a server may take, over all attempts."""

ATTEMPTS = 6
"""With waits of up to 0.5, 1, 2, 4 and 8 seconds between them: R2 allows one write a second on one key."""


def patient(contact: Contact) -> Retrying:
    """Returns retries of what may succeed the next time. The last attempt raises its error."""
    return Retrying(
        retry=retry_if_exception(lambda error: may_pass(error) and not is_hopeless(error, contact)),
        wait=wait_random_exponential(multiplier=0.5, max=8),
        stop=stop_after_attempt(ATTEMPTS),
        reraise=True,
    )


BROKEN_CONNECTION = (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError)

_BUSY = (429, 500, 502, 503, 504)

_BUSY_CODES = (
    "ConditionalRequestConflict",
    "RequestTimeout",
    "SlowDown",
    "TooManyRequests",
    # A body that was damaged on its way arrives intact the next time.
    "BadDigest",
    "XAmzContentSHA256Mismatch",
)


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later."""
    match error:
        case boto.ClientError():
            return status_of(error) in _BUSY or code_of(error) in _BUSY_CODES
        case _:
            return isinstance(error, BROKEN_CONNECTION)


def is_hopeless(error: BaseException, contact: Contact) -> bool:
    """Whether a wrong setting explains the failure, so that retries would not help."""
    if isinstance(error, boto.ClientError):
        return False
    return contact.is_hopeless(error, READ_TIMEOUT if isinstance(error, boto.ReadTimeoutError) else CONNECT_TIMEOUT)


def status_of(error: boto.ClientError) -> int:
    """Returns the HTTP status of an answer."""
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


def code_of(error: boto.ClientError) -> str:
    """Returns the error code of an answer, empty if it has none."""
    return error.response["Error"].get("Code", "")
