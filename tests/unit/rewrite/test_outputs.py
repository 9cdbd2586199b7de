"""Configurations of tools, each read by the tool itself where it is here."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jmespath  # type: ignore[import-untyped] # types are published, but this is all that needs them
import pytest
import yaml
from jmespath import functions

from reconciler.finding.image import Image
from reconciler.mirrors.load import load_mirrors
from reconciler.rewrite.kustomize import kustomize
from reconciler.rewrite.kyverno import kyverno
from reconciler.rewrite.names import Left, Names, names
from reconciler.rewrite.podman import podman
from reconciler.rewrite.repositories import Replaced, all_repositories, used_repositories
from tests.parts.process import find_program

MIRRORS = """\
version: 1
store: {type: s3, bucket: images, region: eu-west-1, public_url: "https://cr.example.com"}
mirrors:
- {source: redis, tags: [{semver: ">=7"}, latest]}
- {source: redis, target: old/redis, tags: ["6"]}
- {source: quay.io/x/y, target: y, tags: [{glob: "1*"}], rename: "{tag}-ours"}
- {source: reg.example.com:5000/a.b/c, target: c, tags: [{glob: "*"}]}
"""
REDIS = Replaced("docker.io/library/redis", "cr.example.com/library/redis")
REPLACED = (REDIS, Replaced("reg.example.com:5000/a.b/c", "cr.example.com/c"))
DIGEST = f"sha256:{'a' * 64}"
IMAGES = {
    "redis": "cr.example.com/library/redis",
    "redis:7.4": "cr.example.com/library/redis:7.4",
    f"docker.io/library/redis:7@{DIGEST}": f"cr.example.com/library/redis:7@{DIGEST}",
    f"reg.example.com:5000/a.b/c@{DIGEST}": f"cr.example.com/c@{DIGEST}",
    "reg.example.com:5000/a.b/c:1": "cr.example.com/c:1",
    "redis-stack:7": "redis-stack:7",
    "reg.example.com:5000/axb/c:1": "reg.example.com:5000/axb/c:1",
    "cr.example.com/library/redis:7": "cr.example.com/library/redis:7",
}


@pytest.fixture
def known(tmp_path: Path) -> Names:
    (tmp_path / "mirrors.yaml").write_text(MIRRORS)
    return names(load_mirrors(tmp_path / "mirrors.yaml", None), None)


def test_every_source_but_those_whose_tags_are_renamed(known: Names) -> None:
    replaced, left = all_repositories(known)
    assert tuple(replaced) == REPLACED
    assert [one.reference for one in left] == ["quay.io/x/y"]


def test_a_repository_is_replaced_only_if_all_its_images_are_at_one_place(known: Names) -> None:
    def used(*references: str) -> tuple[list[Replaced], list[Left]]:
        return used_repositories(known, map(Image.parse, references))

    assert used("redis:7.4", "redis", "cr.example.com/y:1") == ([REDIS], [])
    assert [one.why for one in used("redis:7.4", "redis:5")[1]] == ["not mirrored: its tag is not in the mirror"]
    assert used("redis:6")[0] == [Replaced("docker.io/library/redis", "cr.example.com/old/redis")]
    replaced, (left,) = used("redis:7.4", "redis:6")
    assert replaced == []
    assert left.why.startswith("its images are at several places of the mirror: ")
    assert used("quay.io/x/y:1.2")[0] == []


def pods(images: list[str]) -> dict[str, Any]:
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    spec = {"containers": containers, "initContainers": containers[:2]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}


def test_kustomize_itself_replaces_these_names_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "r2mirror").mkdir()
    (tmp_path / "r2mirror" / "kustomization.yaml").write_text(kustomize(REPLACED, plain_http=False))
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(pods(list(IMAGES))))
    (tmp_path / "kustomization.yaml").write_text("resources: [pod.yaml]\ncomponents: [r2mirror]\n")
    call = [find_program("kubectl", "make parts"), "kustomize", str(tmp_path)]
    done = yaml.safe_load(subprocess.run(call, check=True, capture_output=True, text=True, timeout=60).stdout)
    assert [one["image"] for one in done["spec"]["containers"]] == list(IMAGES.values())
    assert [one["image"] for one in done["spec"]["initContainers"]] == list(IMAGES.values())[:2]


class Functions(functions.Functions):  # type: ignore[misc]
    """The function of Kyverno that the policy calls."""

    @functions.signature({"types": ["string"]}, {"types": ["string"]}, {"types": ["string"]})  # type: ignore[untyped-decorator]
    def _func_regex_replace_all(self, pattern: str, text: str, new: str) -> str:
        return re.sub(pattern, re.sub(r"\$(\d)", r"\\g<\1>", new), text)


def evaluated(text: str, context: dict[str, Any]) -> str:
    """Fills in what is in {{ }}, as Kyverno does."""
    options = jmespath.Options(custom_functions=Functions())
    return re.sub(r"\{\{(.*?)\}\}", lambda found: str(jmespath.search(found[1].strip(), context, options)), text)


def test_the_kyverno_policy_replaces_these_names_and_no_others() -> None:
    policy = yaml.safe_load(kyverno(REPLACED, plain_http=False))
    pod = pods(list(IMAGES))
    for rule in policy["spec"]["rules"]:
        (condition,) = rule["preconditions"]["all"]
        assert evaluated(condition["key"], {"request": {"object": {"spec": {}}}}) == "0"
        for step in rule["mutate"]["foreach"]:
            for number, element in enumerate(
                jmespath.search(step["list"], {"request": {"object": pods(list(IMAGES))}})
            ):
                context = {"element": element, "elementIndex": number}
                (key,) = step["preconditions"]["all"]
                if any(fnmatch.fnmatchcase(evaluated(key["key"], context), one) for one in key["value"]):
                    (patch,) = yaml.safe_load(step["patchesJson6902"])
                    _, spec, kind, at, field = evaluated(patch["path"], context).split("/")
                    pod[spec][kind][int(at)][field] = evaluated(patch["value"], context)
    assert [one["image"] for one in pod["spec"]["containers"]] == list(IMAGES.values())
    assert [one["image"] for one in pod["spec"]["initContainers"]] == list(IMAGES.values())[:2]


def test_podman_has_a_table_for_each_repository() -> None:
    tables = tomllib.loads(podman(REPLACED, plain_http=True))["registry"]
    assert tables[0] == {
        "location": "docker.io/library/redis",
        "mirror": [{"location": "cr.example.com/library/redis", "insecure": True}],
    }
    assert [one["location"] for one in tables] == [one.source for one in REPLACED]
