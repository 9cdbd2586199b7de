"""podman, buildah, skopeo and CRI-O: a drop-in of containers-registries.conf(5).

The table with the longest matching `location` applies, and may be for a single repository. So every mirror can be
configured, whatever its target is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from reconciler.clients import Client, ClientConfig, File, Pull
from reconciler.clients.public import SAMPLE, certificate_notes, more, pull_here, pull_through, quoted

if TYPE_CHECKING:
    from reconciler.clients.public import Public
    from reconciler.clients.upstreams import Upstream


def podman(public: Public) -> ClientConfig:
    tables = list(_tables(public))
    how = "podman, buildah and skopeo read it on every run; for CRI-O: systemctl reload crio"
    path = "/etc/containers/registries.conf.d/50-r2mirror.conf"
    return ClientConfig(
        Client.PODMAN,
        public.host,
        (File(path, "\n".join(tables), how),) if tables else (),
        (pull_here(public, "podman pull {}"), *_through(public)),
        (
            *_left_out(public),
            *(
                certificate_notes(public, "podman", f"in /etc/containers/certs.d/{public.host}/ca.crt")
                if tables
                else ()
            ),
        ),
    )


def _tables(public: Public) -> Iterator[str]:
    if public.plain_http:
        yield _table(public.host, insecure=True)
    for upstream in public.upstreams:
        if upstream.usable:
            yield _mirrored(public, upstream, upstream.registry, [prefix.path for prefix in upstream.usable])
        for repository, targets in _one_by_one(upstream).items():
            yield _mirrored(public, upstream, *_located(public, f"{upstream.registry}/{repository}", targets))


def _located(public: Public, source: str, targets: list[str]) -> tuple[str, list[str]]:
    """Returns a source and its targets; for a namespace, what is before the names of its repositories."""
    end = f"/{SAMPLE}"
    if source not in public.samples:
        return source, targets
    return source.removesuffix(end), [one.removesuffix(end) for one in targets if one.endswith(end)]


def _mirrored(public: Public, upstream: Upstream, location: str, targets: Iterable[str]) -> str:
    text = _table(location, insecure=upstream.plain_http)
    for target in targets:
        text += f"\n[[registry.mirror]]\nlocation = {quoted(public.location(target))}\n"
        text += "insecure = true\n" if public.plain_http else ""
    return text


def _table(location: str, *, insecure: bool) -> str:
    return f"[[registry]]\nlocation = {quoted(location)}\n" + ("insecure = true\n" if insecure else "")


def _one_by_one(upstream: Upstream) -> dict[str, list[str]]:
    """Groups the targets by repository, for repositories under no usable prefix."""
    targets: defaultdict[str, list[str]] = defaultdict(list)
    for prefix in upstream.prefixes:
        # The whole prefix would redirect other names too; a table for one repository cannot.
        if prefix.impostors:
            for repository in prefix.repositories:
                targets[repository].append(prefix.target(repository))
    for repository, target in upstream.renamed.items():
        targets[repository].append(target)
    return targets


def _through(public: Public) -> Iterator[Pull]:
    for upstream in public.upstreams:
        # One under a prefix is the better example, because other clients can pull it too.
        prefixed = [repository for prefix in upstream.usable for repository in prefix.repositories]
        first = [*prefixed, *_one_by_one(upstream)][0]
        yield pull_through(public, upstream, first, "podman pull {}")


def _left_out(public: Public) -> Iterator[str]:
    # podman fetches a whole image from one registry, the first that has its index.
    limited = [mirror for mirror in public.mirrors if mirror.platforms and mirror.repository]
    if limited:
        platforms = ", ".join(map(str, limited[0].platforms or ()))
        yield (
            f"{limited[0].source}{more(limited)} is mirrored only for {platforms}; on any other platform podman fails "
            "and does not fall back to the source as Docker and containerd do"
        )
