"""containerd: a hosts.toml for each registry (containerd's docs/hosts.md).

The mirror is a host that is tried first, with the same path or, with `override_path`, with the path below a prefix. If
it answers with an error, the `server` is tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.clients import Client, ClientConfig, File
from reconciler.clients.public import certificate_notes, more, prefix_notes, pull_here, pulls_through, quoted

if TYPE_CHECKING:
    from reconciler.clients.public import Public
    from reconciler.clients.upstreams import Prefix, Upstream

FOLDER = "/etc/containerd/certs.d"
_CONFIG_PATH = (
    f"Kubernetes (CRI) reads these files only if /etc/containerd/config.toml has config_path = {quoted(FOLDER)}, "
    'in the table [plugins."io.containerd.cri.v1.images".registry] for containerd 2, '
    '[plugins."io.containerd.grpc.v1.cri".registry] for containerd 1; then: systemctl restart containerd'
)
_TWO_FOLDERS = (
    f"containerd 2.2 and newer default to config_path = {quoted(f'{FOLDER}:/etc/docker/certs.d')}, two folders, and "
    "then silently ignore every hosts.toml: replace it with the one folder"
)
CRI_NOTES = (_CONFIG_PATH, _TWO_FOLDERS)
CERTIFICATE = 'as ca = "/path/ca.crt" in each [host] table of hosts.toml'


def containerd(public: Public) -> ClientConfig:
    how = "containerd reads it at each pull; no restart is needed"
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
            f"{public.location(limited[0])}{more(limited)} has only some platforms: ctr 2 and newer fetch the "
            "manifests of all platforms, and fail if one is missing, except with ctr images pull --skip-metadata"
        )


def hosts_files(public: Public) -> dict[str, str]:
    """Builds the content of each hosts.toml, by the name of its folder."""
    # By the mirror's own name: without a hosts.toml, containerd uses https for every host but localhost.
    own = {folder(public.host): _hosts_toml(public.url, [])} if public.plain_http else {}
    return own | {
        folder(upstream.registry): hosts_toml(public, upstream) for upstream in public.upstreams if upstream.usable
    }


def hosts_toml(public: Public, upstream: Upstream) -> str:
    """Builds the hosts.toml with which the mirror is tried before `upstream`."""
    return _hosts_toml(upstream.url, [endpoint(public, prefix) for prefix in upstream.usable])


def endpoint(public: Public, prefix: Prefix) -> str:
    """Returns the URL below which the repositories of a prefix keep their own paths."""
    return f"{public.url}/v2/{prefix.path}" if prefix.path else public.url


def _hosts_toml(server: str, urls: Sequence[str]) -> str:
    text = f"server = {quoted(server)}\n"
    for url in urls:
        text += f'\n[host.{quoted(url)}]\n  capabilities = ["pull", "resolve"]\n'
        # Without it containerd appends /v2 to the URL, and would request /v2/<prefix>/v2/<path>.
        text += "  override_path = true\n" if urlsplit(url).path else ""
    return text


def folder(host: str) -> str:
    """Spells a host as a folder's name, in the form that suits all file systems and a ConfigMap's keys.

    Source: containerd's docs/hosts.md, port handling.
    """
    name, colon, port = host.rpartition(":")
    return f"{name}_{port}_" if colon else host
