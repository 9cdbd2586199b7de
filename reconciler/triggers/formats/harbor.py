"""Webhooks of Harbor, in its own format and as CloudEvents; "Auth Header" has the secret. Pure.

Sources: https://goharbor.io/docs/latest/working-with-projects/project-configuration/configure-webhooks/ and
src/pkg/notifier/formats of github.com/goharbor/harbor
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from reconciler.triggers.formats.format import Format
from reconciler.triggers.hints import Hint, make_hint
from reconciler.triggers.secrets import in_authorization

if TYPE_CHECKING:
    from reconciler.triggers.payload import Payload

_CONTENTS = {"PUSH_ARTIFACT": "event_data", "harbor.artifact.pushed": "data"}


def parse(_: Mapping[str, str], payload: Payload) -> Iterable[Hint]:
    """Reads the artifacts of a push. Other events give nothing."""
    content = _CONTENTS.get(payload.text("type"))
    if content is None:
        return []
    data = payload.field(content)
    path = data.text("repository", "repo_full_name")
    return [_hint(resource, path) for resource in data.entries("resources")]


def _hint(resource: Payload, path: str) -> Hint:
    host = resource.text("resource_url").partition("/")[0]
    tag = resource.text("tag", default="")
    # Of an artifact without a tag, `tag` has the digest.
    tag = "" if ":" in tag else tag
    return make_hint(resource.what, host, path, tag, resource.text("digest", default=""), by_path=True)


FORMAT = Format("harbor", "Harbor", parse, in_authorization)
