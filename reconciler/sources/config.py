"""The configuration of a registry in mirrors.yaml: how it is reached."""

from __future__ import annotations

from pathlib import Path

from reconciler.frozen import Frozen


class MirrorHost(Frozen):
    """A host that has the content of a registry.

    host      as `registries` names it, with settings of its own there
    prefix    the path below which it has the registry's repositories; may be empty
    resolves  whether its digests of tags are believed
    """

    host: str
    prefix: str = ""
    resolves: bool = False

    def __str__(self) -> str:
        at = f"{self.host}/{self.prefix}" if self.prefix else self.host
        return f"{at} (resolve: true)" if self.resolves else at

    def path(self, repository: str) -> str:
        """Returns where it has a repository of the registry."""
        return f"{self.prefix}/{repository}" if self.prefix else repository


class RegistryConfig(Frozen):
    """How to reach one registry.

    username_env, password_env  names of environment variables, never their values
    plain_http                  None: https, or on this machine whichever the registry speaks
    ca_file                     certificate authorities to trust in addition to the usual ones
    client_cert, client_key     what identifies us to the registry itself, and to no host that it refers to
    quota_reserve               pulls of its quota that are left for other clients
    max_connections             connections at once
    min_speed                   bytes a second below which a connection is given up
    redirects_to                hosts, host:port or networks; http:// before a host that speaks plain http
    token_servers               as `redirects_to`
    mirrors                     other hosts that have its content, in the order in which they are asked
    only_mirrors                whether the registry itself is never asked
    rate                        requests a second; None: no limit
    """

    username_env: str | None = None
    password_env: str | None = None
    plain_http: bool | None = None
    ca_file: Path | None = None
    max_connections: int | None = None
    min_speed: float | None = None
    redirects_to: tuple[str, ...] = ()
    token_servers: tuple[str, ...] = ()
    client_cert: Path | None = None
    client_key: Path | None = None
    quota_reserve: int = 0
    rate: float | None = None
    mirrors: tuple[MirrorHost, ...] = ()
    only_mirrors: bool = False
