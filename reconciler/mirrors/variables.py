"""Decides which environment variables mirrors.yaml may name, so that an edit cannot send a job's secrets elsewhere.

Names that clouds, CI systems and r2mirror's own stores use are refused, unless their owner gets the value. Names of the
user's own are allowed: only the person who runs the command can give a secret such a name.
"""

from __future__ import annotations

from reconciler.regex import expression

_RESERVED = (
    "R2_",
    "AWS_",
    "CLOUDFLARE_",
    "CF_",
    "GITHUB_",
    "ACTIONS_",
    "RUNNER_",
    "CI_",
    "GOOGLE_",
    "GCP_",
    "GCLOUD_",
    "CLOUDSDK_",
    "AZURE_",
    "ARM_",
    "SYSTEM_",
    "BITBUCKET_",
    "CIRCLE_",
    "BUILDKITE_",
    "VAULT_",
    "SIGSTORE_",
    "COSIGN_",
    "DOCKER_AUTH_CONFIG",
)
"""The prefixes of names that clouds and CI systems give to variables of a job."""

_OWNERS = {
    "GITHUB_": expression(r"ghcr\.io|docker\.pkg\.github\.com"),
    "CI_": expression(r"registry\.gitlab\.com"),
    "AZURE_": expression(r"[a-z0-9-]+\.azurecr\.io"),
    "ARM_": expression(r"[a-z0-9-]+\.azurecr\.io"),
    "GOOGLE_": expression(r"([a-z0-9-]+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev"),
    "GCP_": expression(r"([a-z0-9-]+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev"),
}
"""The registries of a prefix's owner: a GitHub token may be used to log in at GitHub's registry."""

_SECRET = expression(
    r"SECRET|TOKEN|PASSW|PASSPHRASE|CREDENTIAL|ACCESS_KEY|API_?KEY|PRIVATE|(^|_)(PAT|PWD|KEY|JWT)(_|$)"
)
"""Marks the name of a secret."""


def login_problem(name: str, registry: str) -> str | None:
    """Returns why a registry must not get this variable as its user name or password, None if it may."""
    prefix = _reserved(name)
    if prefix is None or (prefix in _OWNERS and _OWNERS[prefix].fullmatch(registry)):
        return None
    return (
        f"{name[:90]} is not sent to {registry}: names that begin with {prefix} belong to a store, a cloud or "
        "a CI system. If this is intended, pass the value under a name of your own, e.g. REGISTRY_PASSWORD"
    )


def value_problem(name: str, owned: tuple[str, ...]) -> str | None:
    """Returns why this variable must not be part of a value that is not a secret, None if it may.

    `owned` are prefixes of reserved names that may be used anyway.
    """
    prefix = _reserved(name)
    if _SECRET.search(name.upper()):
        return f"{name[:90]} is named like a secret, which does not belong here; use a variable with another name"
    if prefix is None or prefix in owned:
        return None
    return (
        f"{name[:90]} must not be used here: names that begin with {prefix} belong to a store, a cloud or a CI system. "
        "If this is intended, pass the value under a name of your own"
    )


def _reserved(name: str) -> str | None:
    return next((prefix for prefix in _RESERVED if name.upper().startswith(prefix)), None)
