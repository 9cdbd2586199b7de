"""The two ends of a reverse proxy: where clients pull, and where the objects are. Pure."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from reconciler.errors import UsageError
from reconciler.frozen import Frozen
from reconciler.regex import expression

_PORTS = {"https": 443, "http": 80}
_HOST = expression(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
# What is written into a configuration file: nothing that any of them gives a meaning to.
_PATH = expression(r"[A-Za-z0-9._~/-]*")


class Address(Frozen):
    """A scheme, a host and a port."""

    scheme: str
    host: str
    port: int

    @property
    def is_tls(self) -> bool:
        return self.scheme == "https"

    @property
    def is_usual_port(self) -> bool:
        return self.port == _PORTS[self.scheme]

    @property
    def is_ip(self) -> bool:
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    @property
    def host_and_port(self) -> str:
        """Spells the `Host` header: without the port that the scheme implies."""
        return self.host if self.is_usual_port else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host_and_port}"


class Site(Frozen):
    """What a reverse proxy serves.

    public  where clients pull
    bucket  the server that has the objects
    path    what comes before each key there, e.g. `/images`; without a slash at its end
    cache   a folder for what is requested by digest; empty for none
    """

    public: Address
    bucket: Address
    path: str
    cache: str = ""

    @property
    def bucket_url(self) -> str:
        return f"{self.bucket}{self.path}"


def make_site(public_url: str, bucket_url: str, cache: str = "") -> Site:
    """Makes a site of two URLs. Raises `UsageError` if one of them cannot be in a configuration file."""
    public, bucket = _parts("store.public_url", public_url), _parts("the bucket's URL", bucket_url)
    if public.path.strip("/"):
        raise UsageError(f"store.public_url {public_url} has a path, but clients request /v2/ at the root; remove it")
    if not _PATH.fullmatch(cache):
        raise UsageError(f"{cache!r} is not a valid folder for a cache; use letters, digits, '.', '_', '-' and '/'")
    return Site(_address(public), _address(bucket), bucket.path.rstrip("/"), cache)


def _parts(name: str, url: str) -> SplitResult:
    wrong = UsageError(f"{name}: {url!r} is not a valid URL for a proxy; expected e.g. http://127.0.0.1:8333/images")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in _PORTS or port == 0 or not _HOST.fullmatch(parts.hostname or ""):
        raise wrong
    if parts.username is not None or parts.query or parts.fragment or not _PATH.fullmatch(parts.path):
        raise wrong
    return parts


def _address(parts: SplitResult) -> Address:
    return Address(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme])
