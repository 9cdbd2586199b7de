"""containerd: a hosts.toml for each registry (containerd's docs/hosts.md).

The mirror is a host that is asked first, for the same path or, with `override_path`, for the path below a prefix; what
it answers with an error is asked of the `server`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.clients import Client, ClientConfig, File
from reconciler.clients.public import prefix_notes, pull_here, pulls_through, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.clients.public import Public

FOLDER = "/etc/containerd/certs.d"
CRI_NOTE = (
    f"Kubernetes (CRI) reads these files only where /etc/containerd/config.toml says config_path = {quoted(FOLDER)}, "
    'in the table [plugins."io.containerd.cri.v1.images".registry] for containerd 2, '
    '[plugins."io.containerd.grpc.v1.cri".registry] for containerd 1; then: systemctl restart containerd'
)


def containerd(public: Public) -> ClientConfig:
    how = "containerd reads it at each pull; nothing to restart"
    files = tuple(
        File(f"{FOLDER}/{folder}/hosts.toml", content, how) for folder, content in hosts_files(public).items()
    )
    command = f"ctr images pull --hosts-dir {FOLDER} {{}}" if files else "ctr images pull {}"
    return ClientConfig(
        Client.CONTAINERD,
        public.host,
        files,
        (pull_here(public, command), *pulls_through(public, command)),
        (*prefix_notes(public, "containerd"), *((CRI_NOTE,) if files else ())),
    )


def hosts_files(public: Public) -> dict[str, str]:
    """The content of each hosts.toml by the name of its folder."""
    files = {}
    if public.plain_http:
        files[_folder(public.host)] = _hosts_toml(public.url, [])
    for upstream in public.upstreams:
        if upstream.usable:
            urls = [f"{public.url}/v2/{prefix.path}" if prefix.path else public.url for prefix in upstream.usable]
            files[_folder(upstream.registry)] = _hosts_toml(upstream.url, urls)
    return files


def _hosts_toml(server: str, urls: Sequence[str]) -> str:
    text = f"server = {quoted(server)}\n"
    for url in urls:
        text += f'\n[host.{quoted(url)}]\n  capabilities = ["pull", "resolve"]\n'
        text += "  override_path = true\n" if urlsplit(url).path else ""
    return text


def _folder(host: str) -> str:
    """docs/hosts.md, port handling: the form that every file system, and a ConfigMap's keys, can have."""
    name, colon, port = host.rpartition(":")
    return f"{name}_{port}_" if colon else host
