"""The configuration of a registry in mirrors.yaml: how it is reached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RegistryConfig:
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
