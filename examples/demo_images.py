"""Makes the demo's images: `python -m examples.demo_images FOLDER` writes an OCI image layout with four tags."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.parts.images import Image, image, index, layer, write_layout

ROOT = Path(__file__).resolve().parent.parent
PLATFORMS = ("linux/amd64", "linux/arm64")
VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "2.0.0")


def sources(folder: str, pattern: str) -> dict[str, str | bytes]:
    """The repository's own files below `folder`, by their path in the image."""
    return {f"app/{path.relative_to(ROOT)}": path.read_bytes() for path in sorted((ROOT / folder).rglob(pattern))}


def version(number: str) -> Image:
    """One version: a layer that all share, and one of its own, for each platform."""
    shared = layer(sources("reconciler", "*.py"))
    images = [
        image(shared, {**sources("schema", "*.json"), "app/VERSION": f"{number} {platform}\n"}, platform=platform)
        for platform in PLATFORMS
    ]
    return index(*images)


if __name__ == "__main__":
    write_layout(Path(sys.argv[1]), {number: version(number) for number in VERSIONS})
    sys.stdout.write(f"{sys.argv[1]}: {', '.join(VERSIONS)} for {' and '.join(PLATFORMS)}\n")
