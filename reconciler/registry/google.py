"""Logs in at Google's Artifact Registry by application default credentials.

Those are, in this order: the file that GOOGLE_APPLICATION_CREDENTIALS names, the login of `gcloud auth
application-default login`, and the service account of the machine or pod.
"""

from __future__ import annotations

from datetime import UTC, datetime

from reconciler.errors import ExtraMissing, LoginRefused
from reconciler.registry.fetched import used_until
from reconciler.sources.credentials import Credentials

USER = "oauth2accesstoken"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
LIFETIME = 3600.0
"""Seconds that a token lives, if it does not say."""


def google_login(host: str) -> Credentials:
    """Fetches a login. Raises `LoginRefused`, and `ExtraMissing` without Google's library."""
    try:
        import google.auth
        import urllib3
        from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
        from google.auth.transport.urllib3 import Request
    except ImportError:
        raise ExtraMissing(
            f"{host}: docker and podman have no login for it; one by Google's credentials", "gcp"
        ) from None
    try:
        found, _ = google.auth.default(scopes=[SCOPE])
        with urllib3.PoolManager() as pool:
            found.refresh(Request(pool))  # type: ignore[no-untyped-call]  # Google's library is typed in parts
    except DefaultCredentialsError:
        raise LoginRefused(
            host,
            "there is no login for it, and Google's application default credentials were not found; "
            "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
        ) from None
    except (GoogleAuthError, ValueError, OSError, urllib3.exceptions.HTTPError) as error:
        # Only its first line: the rest may quote an answer.
        why = str(error).partition("\n")[0][:200]
        raise LoginRefused(host, f"Google's application default credentials give no token: {why}") from None
    # google-auth has its times without a zone, in UTC.
    ends = found.expiry.replace(tzinfo=UTC) if found.expiry else None
    left = (ends - datetime.now(UTC)).total_seconds() if ends else LIFETIME
    return Credentials(USER, str(found.token), where="Google's application default credentials", until=used_until(left))
