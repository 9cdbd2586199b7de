"""Finds the credentials for a registry: in mirrors.yaml's variables, else where docker and podman keep logins.

The places and their order are those of containers-auth.json(5), which podman, buildah and skopeo follow, and of the
docker command: DOCKER_AUTH_CONFIG, REGISTRY_AUTH_FILE alone or DOCKER_CONFIG alone, else podman's auth.json, then
Docker's config.json. The first that has a login for the repository wins. No
secret is ever shown.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.errors import LoginRefused
from reconciler.frozen import Frozen
from reconciler.oci.docker_hub import ALIASES, DOCKER_HUB
from reconciler.regex import expression

if TYPE_CHECKING:
    from reconciler.sources.config import RegistryConfig

HELPER_TIMEOUT = 30
"""Seconds that a credential helper may take: some ask a cloud, and one that asks the user would wait for ever."""

MAX_FILE_BYTES = 4 * 1024 * 1024

_IDENTITY_TOKEN_USER = "<token>"  # noqa: S105 the user name that helpers give with an identity token
# All helpers share this text: docker matches it, too, because the protocol has no code for a missing login.
_NOT_FOUND = "credentials not found in native keychain"


class Credentials(Frozen):
    """A user name and password, or an identity token for the OAuth2 flow. Its repr shows no secret.

    where  where they come from, for the user who has to correct them
    until  when they are looked up again, on the monotonic clock
    """

    username: str
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    where: str = field(default="", compare=False)
    until: float = field(default=float("inf"), compare=False)


_HELPER = expression(r"[A-Za-z0-9._-]{1,200}")


class Means(Frozen):
    """The surroundings in which credentials are looked up.

    ask   asks a credential helper, named by its suffix, for the credentials of a server
    note  tells the user about an entry that is skipped
    """

    environ: Mapping[str, str]
    ask: Callable[[str, str], Credentials | None]
    note: Callable[[str], None]


def find_credentials(registry: str, path: str, config: RegistryConfig, means: Means) -> Credentials | None:
    """Finds the credentials for a repository; None for anonymous access.

    `username_env` and `password_env` come first, then the files. Raises `LoginRefused` if credentials are configured
    but cannot be read.
    """
    if config.username_env and config.password_env:
        return _from_variables(registry, config.username_env, config.password_env, means)
    for where, document in _documents(means.environ):
        found = _in_document(registry, path, where, document, means)
        if found:
            return found
    return None


def _from_variables(registry: str, username_env: str, password_env: str, means: Means) -> Credentials | None:
    username, password = means.environ.get(username_env), means.environ.get(password_env)
    if not username and not password:
        means.note(f"{registry}: neither {username_env} nor {password_env} is set; requests to it are anonymous")
        return None
    for name, value in ((username_env, username), (password_env, password)):
        if not value:
            why = f"the environment variable {name}, which mirrors.yaml names for it, is not set, but the other one is"
            raise LoginRefused(registry, f"{why}; set both, or neither to go anonymously")
    assert username
    assert password
    return Credentials(username, password, where=f"{username_env} and {password_env}")


def _documents(environ: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the documents that may hold logins, each with its name. A file is read only when its turn comes."""
    if environ.get("DOCKER_AUTH_CONFIG"):
        yield "DOCKER_AUTH_CONFIG", _parsed("DOCKER_AUTH_CONFIG", environ["DOCKER_AUTH_CONFIG"].encode())
    for path in _files(environ):
        yield str(path), _read(path)


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yields the files that may hold logins. One named by a variable is the only one, as for docker and podman."""
    if environ.get("REGISTRY_AUTH_FILE"):
        yield Path(environ["REGISTRY_AUTH_FILE"])
        return
    if environ.get("DOCKER_CONFIG"):
        yield Path(environ["DOCKER_CONFIG"]) / "config.json"
        return
    if environ.get("XDG_RUNTIME_DIR"):
        yield Path(environ["XDG_RUNTIME_DIR"]) / "containers" / "auth.json"
    elif sys.platform == "linux":
        # Podman writes there by default; cron and CI jobs have no XDG_RUNTIME_DIR.
        yield Path("/run/containers") / str(os.getuid()) / "auth.json"
    try:
        home = Path(environ.get("HOME") or "~").expanduser()
    except RuntimeError:  # a user without an entry in /etc/passwd, e.g. in a container
        return
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "containers" / "auth.json"
    yield home / ".docker" / "config.json"


def _in_document(registry: str, path: str, where: str, document: Mapping[str, Any], means: Means) -> Credentials | None:
    """Looks up a repository in one document: the registry's own helper first, then `auths`, then the general helper."""
    helpers, auths = (_section(where, document, name, means) for name in ("credHelpers", "auths"))
    for name in _names(registry):
        if isinstance(helpers.get(name), str):
            return means.ask(helpers[name], name)
        if name in helpers:
            means.note(f"{where}: credHelpers.{name} is not the name of a helper; it is not used")
    store = document.get("credsStore") or ""
    if not isinstance(store, str):
        means.note(f"{where}: credsStore is not the name of a helper; it is not used")
    for name in (*_namespaces(registry, path), *_names(registry)):
        if name in auths:
            entry = f"{where}: auths.{name}"
            found = _stored(auths[name], entry)
            if found:
                return found
            # docker login leaves an empty entry for a registry whose login is in the general helper.
            if not (auths[name] == {} and store):
                means.note(f"{entry}: has no usable login: {_EXPECTED}; log in again")
    return means.ask(store, _server(registry)) if store and isinstance(store, str) else None


_EXPECTED = "expected auth, identitytoken, or username and password"


def _section(where: str, document: Mapping[str, Any], name: str, means: Means) -> Mapping[str, Any]:
    section = document.get(name)
    if isinstance(section, dict):
        return section
    if section is not None:
        means.note(f"{where}: {name} is not an object with an entry for each host; it is not used")
    return {}


def _server(registry: str) -> str:
    """The name under which docker login stores a registry: Docker Hub's is the URL of its first API."""
    return "https://index.docker.io/v1/" if registry == DOCKER_HUB else registry


def _hosts(registry: str) -> tuple[str, ...]:
    return registry, *(ALIASES if registry == DOCKER_HUB else ())


def _namespaces(registry: str, path: str) -> Iterator[str]:
    """Yields the names of a login for a repository or a namespace above it, the most specific first."""
    parts = path.split("/")
    for count in range(len(parts), 0, -1):
        yield from (f"{host}/{'/'.join(parts[:count])}" for host in _hosts(registry))


def _names(registry: str) -> Iterator[str]:
    """Yields the names of a login for a whole registry: older docker versions stored URLs with a path."""
    yield _server(registry)
    for host in _hosts(registry):
        yield host
        for scheme in ("https", "http"):
            yield from (f"{scheme}://{host}{path}" for path in ("", "/", "/v1/", "/v2/", "/v1", "/v2"))


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            body = file.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "its name is not that of a file"
        raise LoginRefused(str(path), f"its logins cannot be read: {reason}; correct or remove it") from None
    return _parsed(str(path), body)


def _parsed(where: str, body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body) if len(body) <= MAX_FILE_BYTES else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise LoginRefused(where, "its logins cannot be read: it is not a JSON object; correct or remove it")
    return document


def _stored(entry: Any, where: str) -> Credentials | None:
    """Parses an entry of `auths`. None if it has no login, as docker login writes it next to a credsStore."""
    match entry:
        case {"identitytoken": str(token)} if token:
            return Credentials(_IDENTITY_TOKEN_USER, identity_token=token, where=where)
        case {"auth": auth} if auth:
            return _decoded(auth, where)
        case {"username": str(username), "password": str(password)} if username and password:
            return Credentials(username, password, where=where)
    return None


def _decoded(auth: Any, where: str) -> Credentials:
    try:
        pair = base64.b64decode(auth).decode()
    except (binascii.Error, ValueError, TypeError):
        pair = ""
    username, colon, password = pair.partition(":")
    if not colon:
        raise LoginRefused(where, "auth is not base64 of user:password; log in again")
    # As docker's own decoding does.
    return Credentials(username, password.rstrip("\0"), where=where)


def ask_helper(name: str, server: str, environ: Mapping[str, str]) -> Credentials | None:
    """Asks `docker-credential-<name>`, by the protocol of docker-credential-helpers: the server on stdin, JSON back."""
    program = f"docker-credential-{name}"
    if not _HELPER.fullmatch(name):
        raise LoginRefused(server, f"{program!r}: a credential helper is named by its suffix, without a path")
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
        raise LoginRefused(
            server, f"{program}, named in the file with the logins, is not on the PATH; install it"
        ) from None
    except (OSError, subprocess.TimeoutExpired):
        raise LoginRefused(server, f"{program} did not answer within {HELPER_TIMEOUT} s; try it by hand") from None
    if answer.returncode != 0:
        if _NOT_FOUND in (answer.stdout + answer.stderr).decode(errors="replace"):
            return None
        raise LoginRefused(server, f"{program} failed with exit code {answer.returncode}; try it by hand")
    try:
        document = json.loads(answer.stdout)
    except (ValueError, RecursionError):
        document = None
    match document:
        case {"Username": str(username), "Secret": str(secret)}:
            if username == _IDENTITY_TOKEN_USER:
                return Credentials(username, identity_token=secret, where=program)
            return Credentials(username, secret, where=program)
        case _:
            raise LoginRefused(server, f"the output of {program} has no Username and Secret; try it by hand")
