"""What an error of boto3 means to the user, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import botocore.exceptions as boto

from reconciler.errors import PreconditionFailed, StoreDenied, StoreError, StoreUnreachable
from reconciler.stores.s3 import patience
from reconciler.stores.s3.contact import mistake
from reconciler.stores.s3.patience import BROKEN_CONNECTION, code_of, is_hopeless, may_pass, status_of

if TYPE_CHECKING:
    from reconciler.stores.s3.contact import Contact

_NO_CREDENTIALS = (
    "no credentials; set R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY, or give boto3 its own "
    "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, ~/.aws)"
)

_CREDENTIAL_ERRORS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.ProfileNotFound,
    boto.SSOError,
)

_DENIED = {
    "AccessDenied": "the credentials may not do this; give the token read and write access to this bucket",
    "ExpiredToken": "the credentials have run out; get new ones",
    "InvalidAccessKeyId": "the server does not know this access key; check the key and the account",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
    "SignatureDoesNotMatch": "the secret does not belong to the access key; check R2_SECRET_ACCESS_KEY",
    "Unauthorized": "the server refuses the credentials; check the key, its secret, the account and the jurisdiction",
}


def translated(what: str, error: Exception, contact: Contact | None = None) -> StoreError:
    """Translates an error of boto3 into what it means to the user, with what to do about it."""
    match error:
        case boto.ClientError():
            return _answered(what, error)
        case boto.NoCredentialsError():
            return StoreDenied(what, _NO_CREDENTIALS)
        case _ if isinstance(error, _CREDENTIAL_ERRORS):
            return StoreDenied(what, f"the credentials cannot be read: {error}")
        case _ if isinstance(error, BROKEN_CONNECTION):
            return StoreUnreachable(what, _unanswered(error, contact))
        case _:
            return StoreError(what, f"{error}; check the store's settings")


def _unanswered(error: Exception, contact: Contact | None) -> str:
    advice = mistake(error) or "check the network and the endpoint"
    if contact is None or not is_hopeless(error, contact):
        return f"no answer after {patience.ATTEMPTS} attempts: {error}; {advice}"
    if mistake(error):
        return f"no answer: {error}; {advice}"
    return f"no answer within {patience.FIRST_ANSWER:.0f} s: {error}; {advice}"


def answer_of(error: boto.ClientError) -> str:
    """Quotes the answer of a server."""
    message = error.response["Error"].get("Message", "no message")
    return f"the server answered {status_of(error)} {code_of(error)}: {message}"


def _answered(what: str, error: boto.ClientError) -> StoreError:
    status, code, answer = status_of(error), code_of(error), answer_of(error)
    if status == 412 or code == "NoSuchKey":
        return PreconditionFailed(what, "another writer has created, changed or removed it in the meantime")
    if code == "NoSuchBucket":
        return StoreError(what, "there is no such bucket; create it, or check its name, account and jurisdiction")
    if status in (401, 403):
        hint = _DENIED.get(code, "check the credentials and what they may do")
        return StoreDenied(what, f"{answer}; {hint}")
    if may_pass(error):
        return StoreUnreachable(what, f"{answer}, after {patience.ATTEMPTS} attempts; try again later")
    if 300 <= status < 400:
        return StoreError(what, f"the server answered {status}, a redirect{_to(error)}")
    return StoreError(what, answer)


def _to(error: boto.ClientError) -> str:
    """Says where a redirect leads. Only scheme and host: the rest of such a URL may be signed."""
    url = urlsplit(error.response["ResponseMetadata"]["HTTPHeaders"].get("location", ""))
    if not url.hostname:
        return ", which is not followed; check the endpoint and the region"
    place = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
    return f" to {place}, which is not followed; if that is the store, write endpoint_url: {place}"
