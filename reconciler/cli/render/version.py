"""The versions of what runs, as text or a JSON document. Prints nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.cli.render.formats import View
from reconciler.frozen import Frozen


class About(Frozen):
    """What runs.

    schemas  the version of each format by the name of its schema
    extras   whether the packages of each extra are installed
    """

    release: str
    python: str
    platform: str
    schemas: Mapping[str, int]
    extras: Mapping[str, bool]


def version_text(about: About, **_: object) -> str:
    """The release, Python and platform, the extras, and the formats of mirrors.yaml and the mirror index."""
    installed = [name for name, there in about.extras.items() if there]
    missing = [name for name, there in about.extras.items() if not there]
    absent = f" (not installed: {', '.join(missing)})" if missing else ""
    lines = [
        f"r2mirror {about.release}",
        f"python: {about.python}",
        f"platform: {about.platform}",
        f"formats: mirrors.yaml {about.schemas['mirrors']}, mirror index {about.schemas['index']}",
        f"extras: {', '.join(installed) or 'none'}{absent}",
    ]
    return "\n".join(lines) + "\n"


def version_document(about: About) -> dict[str, Any]:
    """The same as `schema/version.schema.json` has it."""
    return {
        "version": 1,
        "r2mirror": about.release,
        "python": about.python,
        "platform": about.platform,
        "schemas": dict(about.schemas),
        "extras": dict(about.extras),
    }


VERSION: View[About] = View(version_text, version_document)
