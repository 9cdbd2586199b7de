"""Webhooks of GitHub for its container registry: events `package` and `registry_package`, signed. Pure.

Sources: https://docs.github.com/webhooks/webhook-events-and-payloads#package (and #registry_package), and
https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from reconciler.triggers.formats.format import Format
from reconciler.triggers.hints import Hint, make_hint

if TYPE_CHECKING:
    from reconciler.triggers.payload import Payload

_EVENTS = ("package", "registry_package")
_REGISTRY = "ghcr.io"


def parse(headers: Mapping[str, str], payload: Payload) -> Iterable[Hint]:
    """Reads the package and its tag. Other events, e.g. `ping`, and other ecosystems, e.g. npm, give nothing."""
    event = headers.get("x-github-event", "")
    package = payload.field(event)
    if event not in _EVENTS or package.text("package_type").lower() != "container":
        return []
    version = package.field("package_version")
    tag = version.text("container_metadata", "tag", "name", default="")
    digest = version.text("container_metadata", "tag", "digest", default="")
    return [make_hint(package.what, _host(version), _path(package), tag, digest)]


def _host(version: Payload) -> str:
    # GitHub Enterprise Server has a registry of its own, which only this field names.
    return version.text("package_url", default="").partition("/")[0] or _REGISTRY


def _path(package: Payload) -> str:
    # An owner may have upper-case letters, a repository may not.
    return f"{package.text('namespace')}/{package.text('name')}".lower()


FORMAT = Format("github", "GitHub", parse, signature="x-hub-signature-256")
