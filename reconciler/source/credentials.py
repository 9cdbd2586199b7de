"""Who we are at a registry: what mirrors.yaml names, else what Docker's config.json says. No secret is ever shown."""

from __future__ import annotations

import base64
import binascii
import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.errors import Denied

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.mirrors import RegistryConfig

HELPER_TIMEOUT = 30
"""Seconds that a credential helper may take."""

_IDENTITY_TOKEN_USER = "<token>"  # noqa: S105 the user name that helpers give with an identity token
_NOT_FOUND = "credentials not found in native keychain"


@dataclass(frozen=True)
class Credentials:
    """A user name and password, or an identity token for the OAuth2 flow. The secrets are not in its repr."""

    username: str
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


_HELPER = re.compile(r"[A-Za-z0-9._-]{1,200}")


def find_credentials(registry: str, config: RegistryConfig, environ: Mapping[str, str]) -> Credentials | None:
    """The credentials for a registry's host; None to go anonymously.

    `username_env` and `password_env` come first, then the config.json that docker, podman and skopeo write: its helper
    for this registry, its `auths`, its general helper. Raises `Denied` where credentials are named but cannot be had.
    """
    if config.username_env and config.password_env:
        return Credentials(
            _variable(registry, config.username_env, environ), _variable(registry, config.password_env, environ)
        )
    path = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME", "~")).expanduser() / ".docker") / "config.json"
    docker = _read(path)
    helpers = docker.get("credHelpers")
    for name in _names(registry):
        if isinstance(helpers, dict) and isinstance(helpers.get(name), str):
            return _ask_helper(helpers[name], name, environ)
    auths = docker.get("auths")
    for name in _names(registry):
        entry = auths.get(name) if isinstance(auths, dict) else None
        if isinstance(entry, dict) and (entry.get("auth") or entry.get("identitytoken")):
            return _stored(entry, f"{path}: auths.{name}")
    store = docker.get("credsStore")
    return _ask_helper(store, _server(registry), environ) if isinstance(store, str) and store else None


def _variable(registry: str, name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name)
    if not value:
        raise Denied(registry, f"the environment variable {name}, which mirrors.yaml names for it, is not set")
    return value


def _server(registry: str) -> str:
    """What docker login calls the registry."""
    return "https://index.docker.io/v1/" if registry == "docker.io" else registry


def _names(registry: str) -> Iterator[str]:
    """The names under which config.json may know a registry."""
    aliases = ("index.docker.io", "registry-1.docker.io") if registry == "docker.io" else ()
    yield _server(registry)
    for host in (registry, *aliases):
        yield from (host, f"https://{host}", f"https://{host}/", f"https://{host}/v1/", f"https://{host}/v2/")


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise Denied(str(path), f"Docker's configuration cannot be read: {reason}; repair or remove it") from None
    return document if isinstance(document, dict) else {}


def _stored(entry: Mapping[str, Any], where: str) -> Credentials:
    token = entry.get("identitytoken")
    if isinstance(token, str) and token:
        return Credentials(_IDENTITY_TOKEN_USER, identity_token=token)
    try:
        pair = base64.b64decode(entry["auth"]).decode()
    except (binascii.Error, ValueError, TypeError):
        pair = ""
    username, colon, password = pair.partition(":")
    if not colon:
        raise Denied(where, "auth is not base64 of user:password; log in again")
    return Credentials(username, password.rstrip("\0"))


def _ask_helper(name: str, server: str, environ: Mapping[str, str]) -> Credentials | None:
    """Asks `docker-credential-<name>`, by the protocol of docker-credential-helpers: the server on stdin, JSON back."""
    program = f"docker-credential-{name}"
    if not _HELPER.fullmatch(name):
        raise Denied(server, f"{program!r}: a credential helper is named by its suffix, without a path")
    try:
        answer = subprocess.run(  # noqa: S603 the user's own configuration names the program
            [program, "get"],
            input=server.encode(),
            capture_output=True,
            timeout=HELPER_TIMEOUT,
            env=dict(environ),
            check=False,
        )
    except FileNotFoundError:
        raise Denied(server, f"{program}, which Docker's config.json names, is not on the PATH; install it") from None
    except (OSError, subprocess.TimeoutExpired):
        raise Denied(server, f"{program} did not answer within {HELPER_TIMEOUT} s; try it by hand") from None
    if answer.returncode != 0:
        if _NOT_FOUND in (answer.stdout + answer.stderr).decode(errors="replace"):
            return None
        raise Denied(server, f"{program} failed with exit code {answer.returncode}; try it by hand")
    try:
        document = json.loads(answer.stdout)
    except (ValueError, RecursionError):
        document = None
    match document:
        case {"Username": str(username), "Secret": str(secret)}:
            if username == _IDENTITY_TOKEN_USER:
                return Credentials(username, identity_token=secret)
            return Credentials(username, secret)
        case _:
            raise Denied(server, f"{program} answered something else than Username and Secret; try it by hand")
