"""Webhooks of Docker Hub, which are not signed: the URL has to have the secret. Pure.

Source: https://docs.docker.com/docker-hub/repos/manage/webhooks/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from reconciler.oci.docker_hub import DOCKER_HUB
from reconciler.triggers.formats.format import Format
from reconciler.triggers.hints import Hint, make_hint
from reconciler.triggers.secrets import in_query

if TYPE_CHECKING:
    from reconciler.triggers.payload import Payload


def parse(_: Mapping[str, str], payload: Payload) -> Iterable[Hint]:
    """Reads the repository and its tag. `callback_url` is not called: its host would be the sender's choice."""
    name = payload.text("repository", "repo_name")
    path = name if "/" in name else f"library/{name}"
    return [make_hint(payload.what, DOCKER_HUB, path, payload.text("push_data", "tag", default=""))]


FORMAT = Format("dockerhub", "Docker Hub", parse, in_query)
