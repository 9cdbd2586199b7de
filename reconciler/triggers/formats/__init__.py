"""The kinds of webhooks. A new kind is a module of its own and a row in `FORMATS`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.triggers.formats import distribution, docker_hub, github, harbor, quay

if TYPE_CHECKING:
    from reconciler.triggers.formats.format import Format

FORMATS: tuple[Format, ...] = (
    docker_hub.FORMAT,
    github.FORMAT,
    harbor.FORMAT,
    quay.FORMAT,
    distribution.FORMAT,
)
