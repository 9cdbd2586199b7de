"""A mirror -> the files that make clients pull from it: as a registry of its own, and in the place of its sources.

Pure. `configure` is the way in; each client is a module with one function, in the format of that client's own
documentation, which it names. Where a client cannot do what the mirrors would allow, or what it would do is not true,
the configuration says so in a note.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Client(StrEnum):
    DOCKER = "docker"
    CONTAINERD = "containerd"
    PODMAN = "podman"
    K3S = "k3s"
    BUILDKIT = "buildkit"
    KUBERNETES = "kubernetes"


@dataclass(frozen=True)
class File:
    """`content` is the whole file; `how` says what to do with it, and what makes the client read it."""

    path: str
    content: str
    how: str


@dataclass(frozen=True)
class Pull:
    """A command that pulls an image: from the mirror by its name there, or, by its own name, `through` it."""

    command: str
    through: str | None


@dataclass(frozen=True)
class ClientConfig:
    """`registry` is the mirror's host as it stands in an image's name.

    `files` may be empty, for a registry with https needs none. `notes` say what is not possible, and why.
    """

    client: Client
    registry: str
    files: tuple[File, ...]
    pulls: tuple[Pull, ...]
    notes: tuple[str, ...]
