"""One repository at a registry: its URLs, its name in errors, and the meaning of refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import httpx

from reconciler.errors import BadAnswer, Denied, NotFound, SourceError
from reconciler.frozen import Frozen
from reconciler.http.answers import answered, refusal
from reconciler.sources.translated import CERTIFICATE_ADVICE, misses_certificate

if TYPE_CHECKING:
    from reconciler.sources.registry import Registry

_REFUSALS: Mapping[int, type[SourceError]] = {
    httpx.codes.UNAUTHORIZED: Denied,
    httpx.codes.FORBIDDEN: Denied,
    httpx.codes.NOT_FOUND: NotFound,
}


class Endpoint(Frozen):
    """The endpoint of one repository: `path` at `registry`.

    upstream  the registry whose content it has, if it is a mirror of one; else empty
    """

    registry: Registry
    path: str
    upstream: str = field(default="", kw_only=True)

    @property
    def name(self) -> str:
        return f"{self.registry.name}/{self.path}"

    @property
    def scope(self) -> str:
        """The scope of a token that may pull from this repository."""
        return f"repository:{self.path}:pull"

    def url(self, rest: str) -> str:
        """Returns the URL of e.g. `tags/list`."""
        return self.of_upstream(self.address(rest))

    def address(self, rest: str) -> str:
        """Returns the same URL without what tells a mirror whose content is wanted."""
        return f"{self.registry.url}/v2/{self.path}/{rest}"

    def of_upstream(self, url: str) -> str:
        """Adds the upstream to a URL. A mirror of several registries tells them apart by it.

        containerd and regclient send the same to every mirror.
        """
        if not self.upstream or "ns" in parse_qs(urlsplit(url).query):
            return url
        return f"{url}{'&' if '?' in url else '?'}ns={self.upstream}"

    def what(self, reference: str) -> str:
        """Names a tag or digest in errors."""
        return f"{self.name}{'@' if ':' in reference else ':'}{reference}"

    def check(self, response: httpx.Response, what: str, kind: str, body: bytes | None = None) -> None:
        """Raises unless the answer is a success.

        kind  what was requested, e.g. `manifest`
        body  the start of the body, if it was read already
        """
        if response.is_success:
            return
        status, why = response.status_code, refusal(response, body)
        who = self.registry.answerer(response)
        if status == httpx.codes.BAD_REQUEST and self.registry.url.startswith("http:") and "HTTPS" in why:
            raise BadAnswer(
                what, f"{answered(who, status, why)}; it speaks https: remove its plain_http in mirrors.yaml"
            )
        if misses_certificate(status, why):
            raise BadAnswer(what, f"{answered(who, status, why)}; {CERTIFICATE_ADVICE}")
        # Neither another login nor a corrected name helps against a refusal by a storage host.
        if not self.registry.is_from(response):
            sent = f"{self.registry.name} redirects there for a {kind}; try again later, or contact its operator"
            raise _REFUSALS.get(status, BadAnswer)(what, f"{answered(who, status, why)}; {sent}")
        if status == httpx.codes.NOT_FOUND:
            said = f" ({why})" if why else ""
            raise NotFound(what, f"{who} has no such {kind}{said}; check the name, or leave it out of mirrors.yaml")
        if status in _REFUSALS:
            raise Denied(
                what,
                f"{answered(who, status, why)}: there is no such {kind}, or it requires other credentials; "
                "check the name, then log in with docker login, or name the credentials under registries",
            )
        raise BadAnswer(what, f"{answered(who, status, why)}; expected a {kind}")
