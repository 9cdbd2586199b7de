"""The names that images have at the mirror."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.finding.image import Image
from reconciler.mirrors.load import load_mirrors
from reconciler.oci.spec import OCI_INDEX, Digest
from reconciler.rewrite.names import Left, Names, names
from reconciler.target.index import MirrorIndex, RepositoryState, TagState

HEX, OTHER = "a" * 64, "b" * 64
STORE = 'store: {type: s3, bucket: images, region: eu-west-1, public_url: "https://cr.example.com"}'
REGISTRY = "store: {type: registry, registry: reg.example.com:5000, prefix: team/mirror, state: {type: file, path: s}}"
MIRRORS = f"""\
version: 1
STORE
mirrors:
- {{source: redis, tags: ["7.4@sha256:{HEX}", {{semver: ">=7 <8", newest: 1}}, latest]}}
- {{source: redis, target: old/redis, tags: [{{semver: ">=5 <8"}}]}}
- {{source: [quay.io/x/y, ghcr.io/x/y], target: y, tags: [{{glob: "1*"}}], rename: "{{tag}}-ours"}}
- {{source: "quay.io/space/*", tags: [{{glob: "*"}}]}}
- {{source: cr.example.com/y, target: again, tags: [{{glob: "*"}}]}}
"""


def patterns(folder: Path, store: str = STORE) -> Names:
    (folder / "mirrors.yaml").write_text(MIRRORS.replace("STORE", store))
    return names(load_mirrors(folder / "mirrors.yaml", None), None)


def published(folder: Path) -> Names:
    (folder / "mirrors.yaml").write_text(MIRRORS.replace("STORE", STORE))

    def tag(digest: str, source_tag: str | None = None) -> TagState:
        now = datetime(2026, 11, 26, tzinfo=UTC)
        return TagState(Digest.parse(f"sha256:{digest}"), OCI_INDEX, 1, None, now, source_tag=source_tag)

    index = MirrorIndex(
        repositories={
            "library/redis": RepositoryState("docker.io/library/redis", {"7.4": tag(HEX), "latest": tag(HEX)}),
            "old/redis": RepositoryState("docker.io/library/redis", {"6.2": tag(OTHER), "7.4": tag(OTHER)}),
            "y": RepositoryState("quay.io/x/y", {"1.2-ours": tag(HEX, "1.2")}),
            "space/a": RepositoryState("quay.io/space/a", {"1": tag(HEX)}),
            "again": RepositoryState("docker.io/library/formerly", {"1": tag(HEX)}),
        }
    )
    return names(load_mirrors(folder / "mirrors.yaml", None), index)


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("redis:7.4", "library/redis:7.4"),
        ("docker.io/redis", "library/redis"),
        ("redis:6.2", "old/redis:6.2"),
        (f"redis:7.4@sha256:{HEX}", f"library/redis:7.4@sha256:{HEX}"),
        (f"redis@sha256:{HEX}", f"library/redis@sha256:{HEX}"),
        ("ghcr.io/x/y:1.2", "y:1.2-ours"),
    ],
)
def test_both_ways_to_decide_name_the_first_mirror_that_has_it(tmp_path: Path, reference: str, named: str) -> None:
    for known in (patterns(tmp_path), published(tmp_path)):
        assert str(known.image(Image.parse(reference))) == f"cr.example.com/{named}"


@pytest.mark.parametrize(
    "reference",
    ["redis:4", f"redis@sha256:{'c' * 64}", "quay.io/x/y:2", "quay.io/x/z:1.2"],
)
def test_others_keep_their_names(tmp_path: Path, reference: str) -> None:
    for known in (patterns(tmp_path), published(tmp_path)):
        assert isinstance(known.image(Image.parse(reference)), Left)


def test_the_index_decides_what_a_pattern_only_may_choose(tmp_path: Path) -> None:
    image = Image.parse("redis:7.2")
    assert str(patterns(tmp_path).image(image)) == "cr.example.com/library/redis:7.2"
    left = published(tmp_path).image(image)
    assert left == Left("docker.io/library/redis:7.2", "not mirrored: its tag is not in the mirror")


def test_the_index_decides_by_the_digest_where_there_is_one(tmp_path: Path) -> None:
    known = published(tmp_path)
    assert str(known.image(Image.parse(f"redis:7.4@sha256:{OTHER}"))) == f"cr.example.com/old/redis:7.4@sha256:{OTHER}"
    left = known.image(Image.parse(f"redis:7.4@sha256:{'c' * 64}"))
    assert isinstance(left, Left)
    assert left.why == "not mirrored: its digest is not in the mirror"


def test_a_digest_under_a_name_that_is_not_known_drops_the_tag(tmp_path: Path) -> None:
    known = published(tmp_path)
    assert str(known.image(Image.parse(f"quay.io/x/y:1@sha256:{HEX}"))) == f"cr.example.com/y@sha256:{HEX}"
    assert str(known.image(Image.parse(f"quay.io/x/y:1.2@sha256:{HEX}"))) == f"cr.example.com/y:1.2-ours@sha256:{HEX}"


def test_a_name_at_the_mirror_is_final_even_where_it_is_mirrored_again(tmp_path: Path) -> None:
    known = patterns(tmp_path)
    assert known.is_own(Image.parse("cr.example.com/y:1.2-ours"))
    assert "cr.example.com/y" not in known.by_source


def test_a_namespace_has_the_repositories_of_the_index(tmp_path: Path) -> None:
    image = Image.parse("quay.io/space/a:1")
    assert str(published(tmp_path).image(image)) == "cr.example.com/space/a:1"
    assert isinstance(patterns(tmp_path).image(image), Left)


def test_a_registry_as_the_target_has_its_prefix(tmp_path: Path) -> None:
    known = patterns(tmp_path, REGISTRY)
    assert str(known.image(Image.parse("redis:7.4"))) == "reg.example.com:5000/team/mirror/library/redis:7.4"
