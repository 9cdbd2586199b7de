"""`registries` of mirrors.yaml -> how to reach each registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.mirrors.text_values import filled, hosts, path, speed
from reconciler.mirrors.variables import login_problem
from reconciler.oci.spec import is_repository, registry_named
from reconciler.sources.config import MirrorHost, RegistryConfig

if TYPE_CHECKING:
    from reconciler.mirrors.document import Document, KeyPath


def read_registries(
    document: Document, folder: Path, environ: Mapping[str, str] | None, *, read_files: bool
) -> Iterator[tuple[str, RegistryConfig]]:
    """Yields the registries by host, spelled as sources spell it; records what is wrong with them.

    read_files  whether client certificates have to be usable; without an environment, only those that are there
    """
    seen: dict[str, str] = {}
    for name in document.sound(("registries",)):
        place: KeyPath = ("registries", name)
        registry = registry_named(name)
        if not registry:
            document.problem(place, "expected a registry's host or host:port, e.g. ghcr.io", at_key=True)
        elif seen.setdefault(registry, name) != name:
            document.problem(place, f"{name} and {seen[registry]} are the same registry; keep one", at_key=True)
        config = _registry(document, place, registry or name, folder, environ)
        if read_files and config.client_cert and config.client_key:
            _check_identity(document, place, config.client_cert, config.client_key, is_offline=environ is None)
        yield registry, config


def _registry(
    document: Document, place: KeyPath, registry: str, folder: Path, environ: Mapping[str, str] | None
) -> RegistryConfig:
    said = document.sound(place)
    for key in ("username_env", "password_env"):
        problem = login_problem(said[key], registry) if key in said else None
        if problem:
            document.problem((*place, key), problem)
    if "client_cert" in said and said.get("plain_http"):
        document.problem((*place, "client_cert"), "needs TLS; remove it, or plain_http")

    def file(key: str) -> Path | None:
        text = filled(document, (*place, key), said[key], environ) if key in said else None
        return path(document, (*place, key), text, folder) if text else None

    return RegistryConfig(
        said.get("username_env"),
        said.get("password_env"),
        said.get("plain_http"),
        file("ca_file"),
        said.get("max_connections"),
        speed(document, (*place, "min_speed"), said["min_speed"]) if "min_speed" in said else None,
        hosts(document, (*place, "redirects_to"), said.get("redirects_to", [])),
        hosts(document, (*place, "token_servers"), said.get("token_servers", [])),
        file("client_cert"),
        file("client_key"),
        said.get("quota_reserve", 0),
        said.get("rate"),
        tuple(_mirrors(document, (*place, "mirrors"), said.get("mirrors", []), registry, environ)),
        said.get("only_mirrors", False),
    )


def _mirrors(
    document: Document, place: KeyPath, entries: list[Any], registry: str, environ: Mapping[str, str] | None
) -> Iterator[MirrorHost]:
    """Yields the mirrors of a registry; records those that are not a host, with or without a path."""
    for number, entry in enumerate(entries):
        inner: KeyPath = (*place, number)
        if document.wrong(inner):
            continue
        said, where = (entry, (*inner, "host")) if isinstance(entry, dict) else ({"host": entry}, inner)
        text = filled(document, where, said["host"], environ)
        if text is None:
            continue
        host, _, prefix = text.partition("/")
        named = registry_named(host)
        if not named or (prefix and not is_repository(prefix)):
            wrong = "is not a host[:port], or one with the path of a proxy; write e.g. cache.example.com/docker-hub"
            document.problem(where, f"{text[:90]!r} {wrong}")
        elif named == registry:
            document.problem(where, f"{named} is the registry itself, which is asked last anyway; remove it")
        else:
            yield MirrorHost(named, prefix, said.get("resolve", False))


def _check_identity(document: Document, place: KeyPath, cert: Path, key: Path, *, is_offline: bool) -> None:
    """Records what is wrong with a client certificate. A key need not be where a file is only validated."""
    from reconciler.http.identity import ClientIdentity, wrong_file

    if is_offline and not (cert.exists() and key.exists()):
        return
    wrong = wrong_file(ClientIdentity(cert, key))
    if wrong:
        document.problem((*place, wrong.key), wrong.why)
