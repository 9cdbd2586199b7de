"""Kubernetes' pull secret: the login to a private mirror, as a kubelet reads it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from reconciler.clients import Client, ClientConfig, File
from reconciler.clients.public import public, pull_here
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.access.token import Secret
    from reconciler.mirrors.model import Mirrors

_MANIFEST = """\
apiVersion: v1
kind: Secret
metadata:
  name: {name}
type: kubernetes.io/dockerconfigjson
data:
  .dockerconfigjson: {config}
"""


def check_name(mirrors: Mirrors, name: str) -> None:
    """Raises `UsageError` if `edge.access` has no token of this name."""
    if not mirrors.access:
        raise UsageError("--secret: mirrors.yaml has no edge.access: images are pulled without a login; leave it out")
    if name not in mirrors.access:
        names = ", ".join(sorted(mirrors.access))
        raise UsageError(f"--secret {name[:90]}: edge.access has no token of this name, only {names}")


def pull_secret(mirrors: Mirrors, name: str, token: Secret) -> ClientConfig:
    """Builds the secret with which pods pull. Raises `UsageError` if clients cannot pull from `store.public_url`."""
    seen, called = public(mirrors), f"r2mirror-{name}"
    login = base64.b64encode(f"{name}:{token.value}".encode()).decode()
    config = json.dumps({"auths": {seen.host: {"auth": login}}}).encode()
    content = _MANIFEST.format(name=called, config=base64.b64encode(config).decode())
    how = (
        "It has the token in it: do not commit it. In each namespace that pulls: kubectl apply -f r2mirror-secret.yaml"
    )
    return ClientConfig(
        Client.KUBERNETES,
        seen.host,
        (File("r2mirror-secret.yaml", content, how),),
        (pull_here(seen, f"imagePullSecrets: [{{{{name: {called}}}}}]  # with image: {{}}"),),
        (f"Pods need imagePullSecrets, or their service account does; the login is for images of {seen.host} only.",),
    )
