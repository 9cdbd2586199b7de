"""containerd: a hosts.toml for each registry (containerd's docs/hosts.md).

The mirror is a host that is asked first, for the same path or, with `override_path`, for the path below a prefix; what
it answers with an error is asked of the `server`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.clients import Client, ClientConfig, File
from reconciler.clients.public import certificate_notes, more, prefix_notes, pull_here, pulls_through, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.clients.public import Public
    from reconciler.clients.upstreams import Prefix, Upstream

FOLDER = "/etc/containerd/certs.d"
_CONFIG_PATH = (
    f"Kubernetes (CRI) reads these files only where /etc/containerd/config.toml says config_path = {quoted(FOLDER)}, "
    'in the table [plugins."io.containerd.cri.v1.images".registry] for containerd 2, '
    '[plugins."io.containerd.grpc.v1.cri".registry] for containerd 1; then: systemctl restart containerd'
)
_TWO_FOLDERS = (
    f"containerd 2.2 and newer come with config_path = {quoted(f'{FOLDER}:/etc/docker/certs.d')}, two folders, and "
    "then ignore every hosts.toml without a word: write the one folder in its place"
)
CRI_NOTES = (_CONFIG_PATH, _TWO_FOLDERS)
CERTIFICATE = 'as ca = "/path/ca.crt" in each [host] table of hosts.toml'


def containerd(public: Public) -> ClientConfig:
    how = "containerd reads it at each pull; nothing to restart"
    files = tuple(
        File(f"{FOLDER}/{registry}/hosts.toml", content, how) for registry, content in hosts_files(public).items()
    )
    command = f"ctr images pull --hosts-dir {FOLDER} {{}}" if files else "ctr images pull {}"
    return ClientConfig(
        Client.CONTAINERD,
        public.host,
        files,
        (pull_here(public, command), *pulls_through(public, command)),
        tuple(_notes(public, reads_files=bool(files))),
    )


def _notes(public: Public, *, reads_files: bool) -> Iterator[str]:
    yield from prefix_notes(public, "containerd")
    if reads_files:
        yield from CRI_NOTES
        yield from certificate_notes(public, "containerd", CERTIFICATE)
    limited = [mirror.target for mirror in public.mirrors if mirror.platforms]
    if limited:
        yield (
            f"{public.location(limited[0])}{more(limited)} has some platforms alone: ctr 2 and newer want the "
            "manifests of all of them, and fail where one is not here, unless it is ctr images pull --skip-metadata"
        )


def hosts_files(public: Public) -> dict[str, str]:
    """The content of each hosts.toml by the name of its folder."""
    own = {folder(public.host): _hosts_toml(public.url, [])} if public.plain_http else {}
    return own | {
        folder(upstream.registry): hosts_toml(public, upstream) for upstream in public.upstreams if upstream.usable
    }


def hosts_toml(public: Public, upstream: Upstream) -> str:
    """The hosts.toml with which the mirror is asked first in the place of `upstream`."""
    return _hosts_toml(upstream.url, [endpoint(public, prefix) for prefix in upstream.usable])


def endpoint(public: Public, prefix: Prefix) -> str:
    """The URL under which what is below a prefix has its own path."""
    return f"{public.url}/v2/{prefix.path}" if prefix.path else public.url


def _hosts_toml(server: str, urls: Sequence[str]) -> str:
    text = f"server = {quoted(server)}\n"
    for url in urls:
        text += f'\n[host.{quoted(url)}]\n  capabilities = ["pull", "resolve"]\n'
        text += "  override_path = true\n" if urlsplit(url).path else ""
    return text


def folder(host: str) -> str:
    """docs/hosts.md, port handling: the form that every file system, and a ConfigMap's keys, can have."""
    name, colon, port = host.rpartition(":")
    return f"{name}_{port}_" if colon else host
