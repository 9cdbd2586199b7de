"""What mirrors.yaml and the mirror index have of the images that files name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.finding.coverage import missing_in_file, missing_in_index
from reconciler.finding.found import Found
from reconciler.mirrors.load import load_mirrors
from reconciler.oci.spec import OCI_INDEX, Digest
from reconciler.target.index import MirrorIndex, RepositoryState, TagState

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors

HEX, OTHER = "a" * 64, "b" * 64
FILE = f"""\
version: 1
store: {{type: s3, bucket: images, region: eu-west-1, public_url: "https://cr.example.com"}}
mirrors:
- source: nginx
  tags: ["1.27@sha256:{HEX}", {{semver: ">=1.28 <2", newest: 1}}, {{glob: "stable*"}}]
  exclude: [{{glob: "*-perl"}}]
- {{source: quay.io/x/y, target: renamed/y, tags: [latest]}}
- {{source: [quay.io/first/a, ghcr.io/second/a], target: a, tags: ["1@sha256:{HEX}"], rename: "{{tag}}-ours"}}
"""


def mirrors(folder: Path) -> Mirrors:
    (folder / "mirrors.yaml").write_text(FILE)
    return load_mirrors(folder / "mirrors.yaml", None)


def uses(*references: str) -> list[Found]:
    return [Found("deploy/web.yaml", 14, 9, reference, "image") for reference in references]


def test_images_of_namespaces(tmp_path: Path) -> None:
    entry = '- {source: "quay.io/prom/*", target: "p/{name}", tags: ["1"], exclude_repositories: ["*-test"]}\n'
    (tmp_path / "mirrors.yaml").write_text(FILE + entry)
    names = ("quay.io/prom/a:1", "cr.example.com/p/new:1", "quay.io/prom/a:2", "quay.io/prom/a-test:1", "quay.io/x:1")
    found = missing_in_file(uses(*names), load_mirrors(tmp_path / "mirrors.yaml", None))
    assert [(one.found.reference, one.why) for one in found] == [
        ("quay.io/prom/a:2", "whose tag mirrors.yaml does not choose"),
        ("quay.io/prom/a-test:1", "which mirrors.yaml does not mirror"),
        ("quay.io/x:1", "which mirrors.yaml does not mirror"),
    ]


def test_what_mirrors_yaml_does_not_mirror(tmp_path: Path) -> None:
    lacking = missing_in_file(
        uses(
            "nginx:1.28.1",
            "docker.io/nginx:stable-alpine",
            "nginx:stable-perl",
            "nginx:1.26",
            "nginx:1.27",
            f"nginx:1.27@sha256:{HEX}",
            f"nginx:1.27@sha256:{OTHER}",
            f"nginx@sha256:{HEX}",
            f"nginx@sha256:{OTHER}",
            "quay.io/x/y",
            "quay.io/x/y:1.2",
            "quay.io/x/z:1.2",
            "cr.example.com/renamed/y",
            "cr.example.com/renamed/z",
            "quay.io/first/a:1",
            "ghcr.io/second/a:1",
            "ghcr.io/second/a:2",
            "cr.example.com/a:1-ours",
        ),
        mirrors(tmp_path),
    )
    tag, digest = "whose tag mirrors.yaml does not choose", "whose digest mirrors.yaml does not choose"
    assert [str(one) for one in lacking] == [
        f"deploy/web.yaml:14 uses nginx:stable-perl, {tag}",
        f"deploy/web.yaml:14 uses nginx:1.26, {tag}",
        f"deploy/web.yaml:14 uses nginx:1.27@sha256:{OTHER}, {digest}",
        f"deploy/web.yaml:14 uses nginx@sha256:{OTHER}, {digest}",
        f"deploy/web.yaml:14 uses quay.io/x/y:1.2, {tag}",
        "deploy/web.yaml:14 uses quay.io/x/z:1.2, which mirrors.yaml does not mirror",
        "deploy/web.yaml:14 uses cr.example.com/renamed/z, which mirrors.yaml does not mirror",
        f"deploy/web.yaml:14 uses ghcr.io/second/a:2, {tag}",
    ]


def test_what_the_mirror_does_not_have(tmp_path: Path) -> None:
    state = TagState(Digest("sha256", HEX), OCI_INDEX, 9, None, datetime(2026, 11, 20, tzinfo=UTC))
    repositories = {
        "renamed/y": RepositoryState("quay.io/x/y", {"1.2": state}),
        "a": RepositoryState("quay.io/first/a", {"1-ours": replace(state, source_tag="1")}),
    }
    index = MirrorIndex(3, repositories)
    lacking = missing_in_index(
        uses(
            "quay.io/x/y:1.2",
            "quay.io/x/y:1.3",
            f"quay.io/x/y@sha256:{HEX}",
            f"quay.io/x/y:1.2@sha256:{OTHER}",
            "cr.example.com/renamed/y:1.2",
            "nginx:1.27",
            "ghcr.io/second/a:1",
            "ghcr.io/second/a:1-ours",
            "cr.example.com/a:1-ours",
        ),
        mirrors(tmp_path),
        index,
    )
    assert [(one.found.reference.partition("@")[0], one.why) for one in lacking] == [
        ("quay.io/x/y:1.3", "whose tag the mirror does not have"),
        ("quay.io/x/y:1.2", "whose digest the mirror does not have"),
        ("nginx:1.27", "which the mirror does not have"),
        ("ghcr.io/second/a:1-ours", "whose tag the mirror does not have"),
    ]
