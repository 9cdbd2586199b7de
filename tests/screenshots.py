"""`make screenshots`: takes the pictures of docs/ in a real browser, from a realistic catalog."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reconciler.oci.spec import OCI_INDEX, Digest
from reconciler.target.index import MirrorIndex, RepositoryState, TagState
from reconciler.target.page import render
from tests.parts.chromium import start_chromium

FOLDER = Path(__file__).parents[1] / "docs" / "images"
URL = "https://cr.example.com/"
ALL = ("linux/386", "linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8", "linux/riscv64", "linux/s390x")
BOTH = ("linux/amd64", "linux/arm64")

REPOSITORIES: dict[str, tuple[tuple[str, ...], float, dict[str, float]]] = {
    "ghcr.io/cloudnative-pg/postgresql": (BOTH, 168.2, {"17.2": 1, "17": 1, "16.6": 9, "15.10": 9}),
    "library/alpine": (ALL, 3.4, {"latest": 2, "3.22": 2, "3.21.3": 9, "3.21": 9, "3.20": 40}),
    "library/busybox": (ALL, 1.9, {"1.37": 12, "1.36": 200}),
    "library/debian": (BOTH, 48.5, {"12": 5, "bookworm-slim": 5, "11": 30}),
    "library/golang": (BOTH, 271.0, {"1.25": 0.1, "1.24": 3, "1.23": 20}),
    "library/nginx": (BOTH, 71.3, {f"1.{minor}": 4 + minor for minor in range(20, 29)}),
    "library/node": (BOTH, 382.0, {"24": 0.2, "22": 6, "22-slim": 6, "20": 6}),
    "library/python": (BOTH, 355.0, {"3.13": 0.5, "3.13-slim": 0.5, "3.12": 14, "3.11": 14}),
    "library/redis": (BOTH, 44.0, {"8": 8, "7.4": 8}),
    "quay.io/prometheus/prometheus": (BOTH, 118.0, {"v3.1.0": 18, "v3.0.1": 60}),
    "registry.k8s.io/pause": (BOTH, 0.3, {"3.10": 90}),
}
PICTURES = {
    "catalog-desktop": ({"width": 1100, "height": 690}, "light", ""),
    "catalog-search": ({"width": 1100, "height": 690}, "dark", "#alpine"),
    "catalog-phone": ({"width": 390, "height": 760}, "light", "#golang"),
}


def main() -> None:
    body = render(_index())
    FOLDER.mkdir(exist_ok=True)
    with start_chromium() as browser:
        for name, (viewport, scheme, query) in PICTURES.items():
            options: dict[str, Any] = {"viewport": viewport, "color_scheme": scheme, "reduced_motion": "reduce"}
            with browser.new_context(**options) as context:
                context.route("**/*", lambda route: route.fulfill(body=body, content_type="text/html; charset=utf-8"))
                page = context.new_page()
                page.goto(f"{URL}{query}")
                if not query:
                    page.locator("summary", has_text="library/debian").click()
                page.screenshot(path=FOLDER / f"{name}.png")


def _index() -> MirrorIndex:
    now = datetime.now(UTC)
    repositories = {}
    for name, (platforms, size, tags) in REPOSITORIES.items():
        states = {tag: _state(name, now - timedelta(days=days), platforms, size) for tag, days in tags.items()}
        repositories[name] = RepositoryState("docker.io/library/scratch", states)
    return MirrorIndex(1, repositories)


def _state(name: str, then: datetime, platforms: tuple[str, ...], size: float) -> TagState:
    """Tags that came at one time point at one image."""
    images: Mapping[str, int] = {
        platform: int((size * (1 + number % 3 / 20)) * 2**20) for number, platform in enumerate(platforms)
    }
    return TagState(Digest.of(f"{name}{then}".encode()), OCI_INDEX, 1000, None, then, images)


if __name__ == "__main__":
    main()
