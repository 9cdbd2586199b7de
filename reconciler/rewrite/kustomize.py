"""A component of kustomize, whose `images` replace names and keep tags and digests. Pure.

Source: kubectl.docs.kubernetes.io/references/kustomize/kustomization/images.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from reconciler.clients.public import quoted

if TYPE_CHECKING:
    from reconciler.rewrite.repositories import Replaced


def kustomize(replaced: Iterable[Replaced], *, plain_http: bool) -> str:  # noqa: ARG001 kustomize pulls nothing
    """Writes a kustomization.yaml. It compares names as they are written, so each spelling is an entry."""
    lines = [
        "# Save it as r2mirror/kustomization.yaml and add `components: [r2mirror]` beside `resources`.",
        "# kustomize reads names as regular expressions, so [.] is a dot.",
        "apiVersion: kustomize.config.k8s.io/v1alpha1",
        "kind: Component",
        "images:",
        *(
            f"  - {{name: {quoted(name.replace('.', '[.]'))}, newName: {quoted(one.target)}}}"
            for one in replaced
            for name in one.spellings
        ),
    ]
    return "\n".join(lines) + "\n"
