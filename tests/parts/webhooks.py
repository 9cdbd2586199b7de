"""Payloads of webhooks as the upstreams send them, without the fields that nothing reads; and their signatures."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

DIGEST = "sha256:" + "b" * 64

DOCKER_HUB: dict[str, Any] = {
    "callback_url": "https://registry.hub.docker.com/u/acme/app/hook/1/",
    "push_data": {"pushed_at": 1795600000, "pusher": "ci", "tag": "1.4.2"},
    "repository": {"name": "app", "namespace": "acme", "owner": "acme", "repo_name": "acme/app", "status": "Active"},
}
GITHUB: dict[str, Any] = {
    "action": "published",
    "package": {
        "name": "tools/app",
        "namespace": "Acme",
        "ecosystem": "CONTAINER",
        "package_type": "CONTAINER",
        "package_version": {
            "version": DIGEST,
            "container_metadata": {"tag": {"name": "1.4.2", "digest": DIGEST}},
            "package_url": "ghcr.io/acme/tools/app:1.4.2",
        },
        "registry": {"type": "CONTAINER", "url": "https://CONTAINER.pkg.github.com/acme"},
    },
}
_HARBOR_DATA: dict[str, Any] = {
    "resources": [{"digest": DIGEST, "tag": "1.4.2", "resource_url": "harbor.example.com/acme/app:1.4.2"}],
    "repository": {"name": "app", "namespace": "acme", "repo_full_name": "acme/app", "repo_type": "private"},
}
HARBOR: dict[str, Any] = {"type": "PUSH_ARTIFACT", "occur_at": 1795600000, "operator": "ci", "event_data": _HARBOR_DATA}
HARBOR_EVENT: dict[str, Any] = {"specversion": "1.0", "type": "harbor.artifact.pushed", "data": _HARBOR_DATA}
QUAY: dict[str, Any] = {
    "name": "app",
    "namespace": "acme",
    "repository": "acme/app",
    "docker_url": "quay.io/acme/app",
    "homepage": "https://quay.io/repository/acme/app",
    "updated_tags": ["1.4.2", "latest"],
}
DISTRIBUTION: dict[str, Any] = {
    "events": [
        {
            "id": "1",
            "action": "push",
            "target": {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": DIGEST,
                "repository": "acme/app",
                "url": f"http://registry.example.com:5000/v2/acme/app/manifests/{DIGEST}",
                "tag": "1.4.2",
            },
            "request": {"host": "registry.example.com:5000", "method": "PUT"},
        }
    ]
}


def signature(secret: str, body: bytes) -> str:
    """As GitHub signs a body, in `X-Hub-Signature-256`."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def notifying(url: str, secret: str) -> dict[str, Any]:
    """The configuration of a registry that sends its events to the port at `url`."""
    endpoint = {
        "name": "r2mirror",
        "url": f"{url}/hooks/distribution",
        "headers": {"Authorization": [f"Bearer {secret}"]},
        "timeout": "5s",
        "threshold": 5,
        "backoff": "1s",
        "ignore": {"actions": ["pull"]},
    }
    return {"notifications": {"endpoints": [endpoint]}}
