"""A docker-registry is filled by `r2mirror apply` from another one, and clients pull from it.

docker-registry 2.8 deletes no tags and has no referrers API. With deletion switched on, it deletes digests.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from reconciler.mirrors.schema_files import load_schema
from reconciler.oci.spec import ACCEPT
from tests.parts.clients import new_podman, start_containerd, start_dockerd
from tests.parts.docker_registry import DockerRegistry, start_docker_registry
from tests.parts.images import Image, app, artifact, digest_of, image, index, push, push_referrer
from tests.parts.registry_contents import from_registry
from tests.world import InProcess, changes, walk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.parts.skopeo import Skopeo

HERE, ELSEWHERE = ("linux/arm64", "linux/amd64") if platform.machine() == "aarch64" else ("linux/amd64", "linux/arm64")


def shape(name: str, *, docker: bool = False, at: str = HERE) -> Image:
    return image({"etc/name": f"{name} {at}"}, {"bin/app": f"{name} {at} app"}, platform=at, docker=docker)


SHAPES = {
    "oci-index": index(shape("oci-index"), shape("oci-index", at=ELSEWHERE)),
    "docker-list": index(
        shape("docker-list", docker=True), shape("docker-list", docker=True, at=ELSEWHERE), docker=True
    ),
    "oci-manifest": shape("oci-manifest"),
    "docker-v2s2": shape("docker-v2s2", docker=True),
}


@pytest.fixture
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DockerRegistry]:
    """An empty registry to push to; it deletes digests unless a test asks for one that does not."""
    folder, deletes = tmp_path / "target", getattr(request, "param", True)
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": deletes}}
    with start_docker_registry(folder, {"storage": storage}) as registry:
        yield registry


@pytest.fixture
def world(tmp_path: Path, docker_registry: DockerRegistry, target: DockerRegistry) -> InProcess:
    (tmp_path / "user").mkdir()
    store = {
        "type": "registry",
        "registry": target.host,
        "prefix": "mirror",
        "state": {"type": "file", "path": "./state"},
    }
    registries = {one.host: {"plain_http": True} for one in (docker_registry, target)}
    return InProcess(tmp_path / "user", store, registries)


def wants(world: InProcess, source: DockerRegistry, *tags: str, **more: Any) -> None:
    chosen: list[Any] = list(tags) or [{"glob": "*"}]
    world.mirrors({"source": f"{source.host}/team/app", "target": "app", "tags": chosen, **more})


def document(world: InProcess, schema: str, *arguments: str, code: int = 0) -> dict[str, Any]:
    """The JSON of a command, which its schema describes."""
    found = json.loads(world.run(*arguments, "--format", "json", code=code).stdout)
    Draft202012Validator(load_schema(schema)).validate(found)
    assert isinstance(found, dict)
    return found


def at(target: DockerRegistry, reference: str) -> str | None:
    """The digest that a client sees at a tag."""
    url = f"{target.url}/v2/mirror/app/manifests/{reference}"
    answer = httpx.get(url, headers={"Accept": ACCEPT}, trust_env=False)
    return digest_of(answer.content) if answer.is_success else None


def asked(registry: DockerRegistry, since: int) -> Counter[str]:
    """The methods of the requests since the first `since`."""
    return Counter(one.method for one in registry.requests()[since:])


def test_it_is_filled_and_docker_podman_skopeo_and_containerd_pull(
    world: InProcess, docker_registry: DockerRegistry, target: DockerRegistry, skopeo: Skopeo, tmp_path: Path
) -> None:
    for tag, one in SHAPES.items():
        push(one, docker_registry.host, "team/app", tag)
    wants(world, docker_registry)
    assert world.apply()["summary"]["done"] == len(SHAPES)
    name = f"{target.host}/mirror/app"
    for tag, one in SHAPES.items():
        assert walk(from_registry(target.url), "mirror/app", tag) >= set(one.all_blobs())
        skopeo("copy", "--all", f"docker://{name}:{tag}", f"dir:{tmp_path}/{tag}")
    with start_dockerd(tmp_path / "dockerd") as docker:
        assert {tag: docker.pull(f"{name}:{tag}") for tag in SHAPES} == {t: one.digest for t, one in SHAPES.items()}
    with start_containerd(tmp_path / "containerd") as ctr:
        hosts = tmp_path / "certs.d" / target.host
        hosts.mkdir(parents=True)
        (hosts / "hosts.toml").write_text(f'server = "{target.url}"\n')
        for tag, one in SHAPES.items():
            assert ctr.pull(f"{name}:{tag}", hosts.parent) == one.digest
    with new_podman(f'[[registry]]\nlocation = "{target.host}"\ninsecure = true\n') as podman:
        pulled = podman.pull(*(f"{name}:{tag}" for tag in SHAPES))
        assert all(one.digest in pulled[f"{name}:{tag}"] for tag, one in SHAPES.items())


def test_nothing_new_asks_the_target_for_nothing_and_the_source_for_a_head_a_tag(
    world: InProcess, docker_registry: DockerRegistry, target: DockerRegistry
) -> None:
    for tag in ("1", "2", "3"):
        push(app(tag), docker_registry.host, "team/app", tag)
    wants(world, docker_registry)
    world.apply()
    there, here = len(target.requests()), len(docker_registry.requests())
    assert world.apply()["summary"]["done"] == 0
    assert changes(world.plan("--detailed-exitcode")) == []
    assert asked(target, there) == {}
    assert asked(docker_registry, here) == {"HEAD": 2 * 3, "GET": 2}


@pytest.mark.parametrize("target", [False, True], ids=["without deletion", "with deletion"], indirect=True)
def test_a_tag_that_cannot_be_deleted_is_kept_and_that_is_said(
    world: InProcess, docker_registry: DockerRegistry, target: DockerRegistry
) -> None:
    for tag in ("1", "2"):
        push(app(tag), docker_registry.host, "team/app", tag)
    wants(world, docker_registry)
    world.apply()
    wants(world, docker_registry, "2")
    planned = world.run("plan")
    assert "delete" in planned.stdout + planned.stderr, "said before the apply"
    done = world.run("apply", "--yes")
    assert "the registry does not delete tags" in done.stdout + done.stderr
    assert at(target, "1") == app("1").digest
    assert at(target, "2") == app("2").digest
    since = len(target.requests())
    world.run("apply", "--yes")
    assert asked(target, since) == {}, "what is kept is not tried again"
    assert "  1  pruned, and still there: the registry did not delete it\n" in world.run("list", "app").stdout
    assert document(world, "list", "list", "app")["repositories"][0]["undeleted"] == ["1"]
    wants(world, docker_registry, "1")
    assert f"{target.host} did not delete 1 tag that earlier applies pruned; " in world.run("plan").stdout


def test_untagging_deletes_one_tag_and_leaves_the_others_of_its_digest(
    world: InProcess, docker_registry: DockerRegistry, target: DockerRegistry
) -> None:
    world.store = {**world.store, "delete": "untag"}
    for tag in ("1", "1.0", "2"):
        push(app(tag[0]), docker_registry.host, "team/app", tag)
    wants(world, docker_registry)
    world.apply()
    wants(world, docker_registry, "1.0", "2")
    assert changes(world.plan()) == [("prune", "app", "1")]
    world.apply()
    assert (at(target, "1"), at(target, "1.0"), at(target, "2")) == (None, app("1").digest, app("2").digest)
    assert walk(from_registry(target.url), "mirror/app", "1.0") >= set(app("1").all_blobs())
    assert world.apply()["summary"]["done"] == 0


def test_a_moved_tag_moves_and_history_and_restore_know_both(
    world: InProcess, docker_registry: DockerRegistry, target: DockerRegistry
) -> None:
    push(app("1"), docker_registry.host, "team/app", "latest")
    wants(world, docker_registry, retain="7d")
    world.apply()
    push(app("2"), docker_registry.host, "team/app", "latest")
    assert changes(world.plan()) == [("update", "app", "latest")]
    world.apply()
    assert at(target, "latest") == app("2").digest
    runs = document(world, "history", "history", "app:latest")["runs"]
    assert [len(run["events"]) for run in runs] == [1, 1]
    document(world, "restore", "restore", "app:latest", "--yes")
    assert at(target, "latest") == app("1").digest
    assert walk(from_registry(target.url), "mirror/app", "latest") >= set(app("1").all_blobs())
    assert world.apply()["summary"]["done"] == 0, "a restored tag is held"
    world.run("release", "app:latest")
    world.apply()
    assert at(target, "latest") == app("2").digest


def test_a_lost_index_is_found(world: InProcess, docker_registry: DockerRegistry, target: DockerRegistry) -> None:
    push(app("1"), docker_registry.host, "team/app", "1")
    wants(world, docker_registry)
    assert world.run("verify").stdout == "Nothing to verify: no repository is mirrored yet.\n"
    world.apply()
    shutil.rmtree(world.folder / "state")
    assert "missing: there is no mirror index, although app is in the store" in world.run("verify", code=1).stdout
    world.run("adopt", "--yes")
    world.run("verify")
    assert at(target, "1") == app("1").digest


def test_a_young_image_waits(world: InProcess, docker_registry: DockerRegistry, target: DockerRegistry) -> None:
    push(app("1"), docker_registry.host, "team/app", "1")
    wants(world, docker_registry, min_age="7d")
    world.run("apply", "--yes")
    assert at(target, "1") is None
    world.run("apply", "--yes", "--now", "app:1")
    assert at(target, "1") == app("1").digest


def test_a_foreign_push_between_two_runs_is_shown_and_kept(
    world: InProcess, docker_registry: DockerRegistry, target: DockerRegistry
) -> None:
    for tag in ("1", "latest"):
        push(app("1"), docker_registry.host, "team/app", tag)
    wants(world, docker_registry)
    world.apply()
    foreign = app("foreign")
    push(foreign, target.host, "mirror/app", "latest")
    push(app("2"), docker_registry.host, "team/app", "latest")
    push(app("2"), docker_registry.host, "team/app", "2")
    planned = world.run("plan")
    assert foreign.digest[7:19] in planned.stdout + planned.stderr
    done = world.run("apply", "--yes", code=1)
    assert foreign.digest in done.stdout + done.stderr
    assert at(target, "latest") == foreign.digest
    assert at(target, "2") == app("2").digest, "the others are done"
    assert at(target, "1") == app("1").digest
    world.run("apply", "--yes", "--overwrite-drift")
    assert at(target, "latest") == app("2").digest
    assert world.apply()["summary"]["done"] == 0


def test_a_state_among_the_images_of_another_target_is_refused(
    world: InProcess, docker_registry: DockerRegistry, target: DockerRegistry
) -> None:
    push(app("1"), docker_registry.host, "team/app", "1")
    state = world.store["state"]
    world.store, registry = {"type": "file", "path": "./mirror"}, world.store
    wants(world, docker_registry)
    world.apply()
    world.store = {**registry, "state": {**state, "path": "./mirror"}}
    push(app("2"), docker_registry.host, "team/app", "2")
    wants(world, docker_registry)
    for command in (("plan",), ("apply", "--yes")):
        assert "it holds images itself" in world.run(*command, code=1).stderr
    assert at(target, "2") is None


def test_a_moved_tag_that_no_plan_changes_is_found_and_moved_back(
    world: InProcess, docker_registry: DockerRegistry, target: DockerRegistry
) -> None:
    push(app("1"), docker_registry.host, "team/app", "1")
    wants(world, docker_registry)
    world.apply()
    foreign = app("foreign")
    push(foreign, target.host, "mirror/app", "1")
    [finding] = document(world, "verify", "verify", code=1)["findings"]
    assert (finding["key"], finding["problem"]) == ("v2/app/manifests/1", "out of step")
    kept = world.run("verify", "--repair", code=1)
    assert "it stays, unless apply or `verify --repair` has --overwrite-drift" in kept.stdout
    assert at(target, "1") == foreign.digest
    world.run("verify", "--repair", "--overwrite-drift")
    assert at(target, "1") == app("1").digest
    assert document(world, "verify", "verify")["findings"] == []
    # R2MIRROR_OVERWRITE_DRIFT, which is set for apply, must not be in verify's way.
    world.run("verify", "--overwrite-drift")


def test_the_sizes_of_a_registry_say_what_is_known(
    world: InProcess, docker_registry: DockerRegistry, target: DockerRegistry
) -> None:
    push(app("1"), docker_registry.host, "team/app", "1")
    wants(world, docker_registry)
    told = world.run("plan", "--sizes").stdout
    assert "Sizes: downloads " in told
    assert "Stored:" not in told
    assert document(world, "plan", "plan", "--sizes")["sizes"]["stored_bytes"] is None


def test_a_foreign_tag_is_not_pruned(world: InProcess, docker_registry: DockerRegistry, target: DockerRegistry) -> None:
    world.store = {**world.store, "delete": "untag"}
    for tag in ("1", "2"):
        push(app(tag), docker_registry.host, "team/app", tag)
    wants(world, docker_registry)
    world.apply()
    foreign = app("foreign")
    push(foreign, target.host, "mirror/app", "1")
    push(foreign, target.host, "mirror/app", "theirs")
    wants(world, docker_registry, "2")
    world.run("apply", "--yes", code=1)
    assert (at(target, "1"), at(target, "theirs")) == (foreign.digest, foreign.digest)
    world.run("apply", "--yes", "--overwrite-drift")
    assert (at(target, "1"), at(target, "theirs")) == (None, foreign.digest)


def test_referrers_come_along_under_the_fallback_tag_and_are_not_listed_twice(
    world: InProcess, docker_registry: DockerRegistry, target: DockerRegistry
) -> None:
    one = app("1")
    push(one, docker_registry.host, "team/app", "1")
    for number in range(2):
        note = artifact(subject=one, annotations={"n": str(number)})
        push_referrer(note, docker_registry.host, "team/app")
    wants(world, docker_registry, "1", referrers=True)
    world.apply()
    fallback = one.digest.replace(":", "-")
    url = f"{target.url}/v2/mirror/app/manifests/{fallback}"
    listed = httpx.get(url, headers={"Accept": ACCEPT}, trust_env=False).json()
    assert len(listed["manifests"]) == 2
    for entry in listed["manifests"]:
        walk(from_registry(target.url), "mirror/app", entry["digest"])
    since = len(target.requests())
    world.apply()
    assert asked(target, since) == {}


def test_verify_finds_what_is_missing_and_repairs_it(
    world: InProcess, docker_registry: DockerRegistry, target: DockerRegistry
) -> None:
    for tag in ("1", "2"):
        push(app(tag), docker_registry.host, "team/app", tag)
    wants(world, docker_registry)
    world.apply()
    assert document(world, "verify", "verify", "--deep")["findings"] == []
    child = app("2").children[0]
    gone = httpx.delete(f"{target.url}/v2/mirror/app/manifests/{child.digest}", trust_env=False)
    assert gone.status_code == 202
    findings = document(world, "verify", "verify", code=1)["findings"]
    assert [(child.digest in one["key"], one["problem"]) for one in findings] == [(True, "missing")]
    world.run("verify", "--repair")
    assert document(world, "verify", "verify", "--deep")["findings"] == []
    assert walk(from_registry(target.url), "mirror/app", "2") >= set(app("2").all_blobs())


def test_list_shows_the_tags(world: InProcess, docker_registry: DockerRegistry, target: DockerRegistry) -> None:
    push(app("1"), docker_registry.host, "team/app", "1")
    wants(world, docker_registry)
    world.apply()
    [repository] = document(world, "list", "list", "app")["repositories"]
    assert [one["tag"] for one in repository["tags"]] == ["1"]


def test_what_skopeo_sync_copied_is_adopted_and_nothing_is_copied_again(
    world: InProcess, docker_registry: DockerRegistry, target: DockerRegistry, skopeo: Skopeo
) -> None:
    for tag, one in SHAPES.items():
        push(one, docker_registry.host, "team/app", tag)
    skopeo(
        "sync",
        "--all",
        "--src",
        "docker",
        "--dest",
        "docker",
        f"{docker_registry.host}/team/app",
        f"{target.host}/mirror",
    )
    push(app("theirs"), target.host, "mirror/app", "theirs")
    wants(world, docker_registry, *SHAPES)
    since, before = len(target.requests()), len(docker_registry.requests())
    said = world.run("adopt", "--dry-run").stdout
    assert "and is left alone\n" in said
    assert "; 1 tag left alone." in said
    found = document(world, "adopt", "adopt", "--dry-run")
    assert sorted(tag["tag"] for tag in found["repositories"][0]["adopted"]) == sorted(SHAPES)
    document(world, "adopt", "adopt", "--yes")
    assert changes(world.plan("--detailed-exitcode")) == []
    assert world.apply()["summary"]["done"] == 0
    assert asked(target, since).keys() <= {"GET", "HEAD"}, "nothing was sent"
    assert not any("/blobs/" in one.path for one in docker_registry.requests()[before:])
    [finding] = document(world, "verify", "verify", "--deep", code=1)["findings"]
    assert (finding["key"], finding["problem"]) == ("v2/app/manifests/theirs", "unknown")
    assert finding["detail"].startswith("a tag that another program put there; `r2mirror adopt` takes it over if")
    push(app("2"), docker_registry.host, "team/app", "oci-index")
    world.apply()
    assert at(target, "theirs") == app("theirs").digest, "what no entry chooses is not pruned"
    assert at(target, "oci-index") == app("2").digest, "and from then on it is kept up to date"
