"""Configures clients to pull from a mirror: as a registry of its own, and instead of its sources. Pure.

    config = configure(Client.PODMAN, load_mirrors(Path("mirrors.yaml"), os.environ))
    for file in config.files:
        print(file.path, file.content)

`configure` is the entry point. Each client is a module with one function, which follows the client's documentation
(named there). A note in the configuration explains what a client cannot do, or would get wrong.
"""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from reconciler.frozen import Frozen


class Client(StrEnum):
    DOCKER = "docker"
    CONTAINERD = "containerd"
    PODMAN = "podman"
    K3S = "k3s"
    BUILDKIT = "buildkit"
    KUBERNETES = "kubernetes"


class File(Frozen):
    """A configuration file. `how` describes how to install it, and what makes the client read it."""

    path: str
    content: str = field(repr=False)
    how: str


class Pull(Frozen):
    """A command that pulls an image: by its name in the mirror, or by its own name `through` the mirror."""

    command: str
    through: str | None


class ClientConfig(Frozen):
    """The configuration of one client.

    registry  the mirror's host as it appears in image names
    files     empty if none is needed, e.g. for a registry with https
    pulls     examples
    notes     what is not possible, and why
    """

    client: Client
    registry: str
    files: tuple[File, ...]
    pulls: tuple[Pull, ...]
    notes: tuple[str, ...]
