"""What `r2mirror diff` says, written out as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

from reconciler.mirrors import load_mirrors
from reconciler.review import Edit, review, review_document, review_markdown, review_text
from reconciler.schema_files import load_schema
from tests.world import World

if TYPE_CHECKING:
    from pathlib import Path

OLD = """\
version: 1
store: {type: file, path: /m}
mirrors:
  - {source: alpine, tags: [latest, "3.17", {glob: "3.1*"}]}
  - {source: busybox, tags: [latest]}
  - {source: nginx, tags: [latest]}
"""
NEW = """\
version: 1
store: {type: s3, bucket: abc}
registries: {ghcr.io: {max_connections: 4}}
mirrors:
  - {source: nginx, target: web/nginx, tags: [latest], prune: false}
  - source: alpine
    tags: [{glob: "3.2*"}, latest, {semver: ">1", newest: 3, variant: "a*"}]
    platforms: [linux/amd64]
"""


EDGE = """\
version: 1
store: {type: r2, account_id: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, bucket: abc, public_url: "https://cr.example.com"}
edge: {zone: example.com}
mirrors: []
"""


def test_an_edge(tmp_path: Path) -> None:
    without = EDGE.replace("edge: {zone: example.com}\n", "")
    assert review_text(edits(tmp_path, EDGE, EDGE.replace("example.com}", "example.com, cache: false}"))) == (
        "~ edge cr.example.com\n    cache: true -> false\nmirrors.yaml: 0 added, 1 changed, 0 removed.\n"
    )
    assert review_text(edits(tmp_path, EDGE, without)) == (
        "- edge cr.example.com\n"
        "    its rules stay in the zone: `r2mirror edge apply --remove` with the file as it was takes them out\n"
        "mirrors.yaml: 0 added, 0 changed, 1 removed.\n"
    )
    assert [edit.kind for edit in edits(tmp_path, without, EDGE)] == ["added"]


def edits(folder: Path, old: str, new: str) -> tuple[Edit, ...]:
    (folder / "old.yaml").write_text(old)
    (folder / "new.yaml").write_text(new)
    return review(load_mirrors(folder / "old.yaml", None), load_mirrors(folder / "new.yaml", None))


def test_an_edit_in_words(tmp_path: Path) -> None:
    found = edits(tmp_path, OLD, NEW)
    assert review_text(found) == (
        "~ library/alpine\n"
        "    platforms: all -> linux/amd64\n"
        '    tags: + glob "3.2*"; + semver ">1", newest 3, variant "a*"; - 3.17; - glob "3.1*"\n'
        "- library/busybox\n"
        "    no longer mirrored from docker.io/library/busybox; the next apply prunes its tags\n"
        "- library/nginx\n"
        "    no longer mirrored from docker.io/library/nginx; the next apply prunes its tags\n"
        "    that source is mirrored to web/nginx now\n"
        "+ web/nginx\n"
        "    source: docker.io/library/nginx\n"
        "    tags: latest\n"
        "    platforms: all\n"
        "    prune: false\n"
        "    retain: 7d\n"
        "+ registry ghcr.io\n"
        "    plain_http: false\n"
        "    max_connections: 4\n"
        "~ store\n"
        "    bucket: not set -> abc\n"
        "    path: /m -> not set\n"
        "    type: file -> s3\n"
        "mirrors.yaml: 2 added, 2 changed, 2 removed.\n"
    )
    Draft202012Validator(load_schema("review")).validate(review_document(found))
    assert review_markdown(found).startswith(
        "**mirrors.yaml: 2 added, 2 changed, 2 removed.**\n"
        "\n"
        "- `~` **library/alpine**\n"
        "  - platforms: all -&gt; linux/amd64\n"
    )
    assert "3.2&#42;" in review_markdown(found)


def test_order_and_formatting_mean_nothing(tmp_path: Path) -> None:
    other = """\
version: 1
store:
  type: file
  path: /m
mirrors:
  - source: docker.io/library/nginx
    target: library/nginx
    tags: ["latest"]
  - source: docker.io/busybox
    tags: [latest]
  - source: alpine
    platforms: all
    tags:
      - {glob: "3.1*"}
      - "3.17"  # the old one
      - latest
"""
    assert edits(tmp_path, OLD, other) == ()
    assert review_text(()) == "mirrors.yaml: no change in meaning.\n"


@pytest.mark.parametrize("prune", ["true", "false"])
def test_what_becomes_of_a_mirror_that_goes(prune: str, tmp_path: Path) -> None:
    (busybox,) = (
        edit
        for edit in edits(
            tmp_path,
            OLD,
            OLD.replace("  - {source: busybox, tags: [latest]}\n", "") + f"defaults: {{prune: {prune}}}\n",
        )
        if edit.name == "library/busybox"
    )
    assert ("prunes its tags" in busybox.words[0]) == (prune == "true")


def test_the_command(tmp_path: Path) -> None:
    world = World(tmp_path, {})
    (tmp_path / "old.yaml").write_text(OLD)
    (tmp_path / "new.yaml").write_text(NEW)
    assert "~ library/alpine" in world.run("diff", "old.yaml", "new.yaml", "--detailed-exitcode", code=2).stdout
    assert world.run("diff", "old.yaml", "old.yaml", "--detailed-exitcode").stdout.endswith("no change in meaning.\n")
    assert world.run("diff", "old.yaml", "new.yaml", "--format", "json").stdout.startswith('{\n  "version": 1')
    assert world.run("diff", "old.yaml", "new.yaml", "--format", "markdown").stdout.startswith("**mirrors.yaml")
    assert "missing.yaml" in world.run("diff", "old.yaml", "missing.yaml", code=1).stderr
