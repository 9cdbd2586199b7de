"""Builds the demo's images: `python -m examples.demo_images FOLDER` writes an OCI image layout with four tags."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.parts.images import Image, image, index, layer, write_layout

ROOT = Path(__file__).resolve().parent.parent
PLATFORMS = ("linux/amd64", "linux/arm64")
VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "2.0.0")


def version(number: str) -> Image:
    """Builds one version: a layer that all versions share, with a real file, and a layer for each platform."""
    shared = layer({"usr/share/doc/app/LICENSE": (ROOT / "LICENSE").read_bytes()})
    images = [
        image(shared, {"etc/app-release": f"VERSION={number}\nPLATFORM={platform}\n"}, platform=platform)
        for platform in PLATFORMS
    ]
    return index(*images)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write_layout(folder, {number: version(number) for number in VERSIONS})
    sys.stdout.write(f"{folder.name}/: {', '.join(VERSIONS)} for {' and '.join(PLATFORMS)}\n")
