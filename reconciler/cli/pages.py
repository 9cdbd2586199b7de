"""The pages of the documentation, and their URLs.

The address is the one of the installed distribution, which has it from pyproject.toml. Without one, e.g. in a checkout
that was never installed, a page is a file.
"""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

from reconciler.cli.installation import NAME

PAGES = {
    "index": "What r2mirror is, and how to install it",
    "folder": "Tutorial: a folder at home",
    "s3": "Tutorial: S3",
    "r2": "Tutorial: Cloudflare R2, from nothing to a pull",
    "registry": "Tutorial: from registry to registry",
    "github": "Tutorial: reviews on GitHub and GitLab",
    "install": "How to install it and run it: image, compose, Kubernetes, systemd",
    "watch": "How to run it as a service",
    "triggers": "How to mirror within seconds of a push",
    "import": "How to come from another tool",
    "operations": "How to operate it: logs, metrics, credentials, errors, cost",
    "clients": "How to configure clients",
    "discovery": "How to find images",
    "registries": "How to push to a registry",
    "air-gap": "How to cross an air gap",
    "signatures": "How to require signatures",
    "lockfile": "How to lock tags at reviewed digests",
    "waiting": "How to let new images wait",
    "find": "How to find the images that you use",
    "rewrite": "How to use the mirror in your files",
    "renovate": "How to use Renovate or Dependabot",
    "charts": "How to mirror Helm charts",
    "pulling": "How to choose between a static edge, a Worker, a proxy and serve",
    "edge": "How to set up Cloudflare in front of a bucket",
    "private": "How to make a mirror private",
    "mirrors": "Reference: mirrors.yaml",
    "commands": "Reference: commands and options",
    "conformance": "Reference: what of the registry API is served",
    "how-it-works": "Explanation: how it works",
    "reliability": "Explanation: what it relies on, and what is tested",
    "performance": "Explanation: what it costs in time and memory",
}
"""The pages by name, in the order of the site."""

_CHECKOUT = Path(__file__).resolve().parents[2]
_FILES = {
    "index": "README.md",
    "folder": "README.md",
    "s3": "README.md",
    "r2": "README.md",
    "registry": "docs/registries.md",
}
"""What is not a file of docs/ with the page's name."""


def page_url(page: str, anchor: str) -> str:
    """Writes the URL of a page, e.g. https://example.com/r2mirror/operations/#credentials."""
    try:
        found: Distribution | None = Distribution.from_name(NAME)
    except PackageNotFoundError:
        found = None
    return url(page, anchor, found)


def url(page: str, anchor: str, found: Distribution | None) -> str:
    """As `page_url`, for the distribution `found`; None: run from a checkout."""
    place = f"#{anchor}" if anchor else ""
    for one in (found.metadata.get_all("Project-URL") or ()) if found else ():
        label, _, address = one.partition(", ")
        if label == "Documentation":
            return f"{address.rstrip('/')}/{'' if page == 'index' else f'{page}/'}{place}"
    return f"{(_CHECKOUT / _FILES.get(page, f'docs/{page}.md')).as_uri()}{place}"
