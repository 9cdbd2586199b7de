"""What travels without a network, on real parts: boxes into a bucket, and image layouts that skopeo reads."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.parts.clients import new_podman
from tests.parts.images import app, artifact, push, push_referrer, write_layout
from tests.parts.seaweedfs import s3_store
from tests.parts.signatures import ec_key, private_pem, public_pem
from tests.world import World, changes, from_folder, walk

if TYPE_CHECKING:
    from tests.parts.docker_registry import DockerRegistry
    from tests.parts.seaweedfs import S3Bucket
    from tests.parts.skopeo import Skopeo

V1, V2 = app("1", "linux/amd64", "linux/arm64"), app("2", "linux/amd64", "linux/arm64")
KEY = ec_key()
SBOM = artifact("application/vnd.example.sbom", [("text/plain", b"contents")], V1)


def test_from_a_registry_by_boxes_in_parts_into_a_bucket_and_back_out_of_it(
    tmp_path: Path, docker_registry: DockerRegistry, s3_bucket: S3Bucket
) -> None:
    (tmp_path / "there").mkdir()
    registries = {docker_registry.host: {"plain_http": True}}
    mirror = {"source": f"{docker_registry.host}/team/app", "tags": [{"glob": "*"}], "referrers": True}
    here = World(tmp_path, {"type": "file", "path": "./here"}, registries)
    here.mirrors(mirror)
    there = World(tmp_path / "there", s3_store(s3_bucket), registries, s3_bucket.environ())
    there.mirrors(mirror)
    push(V1, docker_registry.host, "team/app", "1")
    push_referrer(SBOM, docker_registry.host, "team/app")
    here.apply()
    (tmp_path / "key").write_bytes(private_pem(KEY))
    (tmp_path / "key.pub").write_bytes(public_pem(KEY))
    here.run("export", "1.tar", "--split", "1MiB", "--sign-key", "key")
    shutil.rmtree(docker_registry.data)  # No source can be asked any more.
    key = ("--key", str(tmp_path / "key.pub"))
    there.apply("--from", str(tmp_path / "1.tar"), *key)
    assert changes(there.plan("--from", str(tmp_path / "1.tar"))) == []
    there.run("verify", "--deep")
    there.run("export", "back.tar")
    assert "is not signed" in there.run("plan", "--from", "back.tar", *key, code=1).stderr
    again = replace(there, folder=tmp_path / "again", store={"type": "file", "path": "./again"})
    again.folder.mkdir()
    again.mirrors(mirror)
    again.apply("--from", str(there.folder / "back.tar"))
    for name in ("1", SBOM.digest):
        read = (from_folder(tmp_path / "here"), from_folder(again.folder / "again"))
        assert walk(read[0], "team/app", name) == walk(read[1], "team/app", name)
    # And from the bucket itself, where there is a network.
    branch = replace(there, folder=tmp_path / "branch", store={"type": "file", "path": "./branch"}, registries={})
    branch.folder.mkdir()
    branch.mirrors({**mirror, "source": f"bucket:{s3_bucket.endpoint_url}/{s3_bucket.bucket}//team/app"})
    branch.apply()
    assert changes(branch.plan()) == []
    for name in ("1", SBOM.digest):
        read = (from_folder(tmp_path / "here"), from_folder(branch.folder / "branch"))
        assert walk(read[0], "team/app", name) == walk(read[1], "team/app", name)


def test_skopeo_and_podman_read_a_layout_that_apply_wrote_as_one_file_and_its_folder(
    tmp_path: Path, skopeo: Skopeo
) -> None:
    write_layout(tmp_path / "source", {"1": V1, "2": V2})
    world = World(tmp_path, {"type": "oci", "path": "./images.tar"})
    mirror = {"source": "oci:./source", "tags": [{"glob": "*"}], "when_gone": "prune"}
    world.mirrors({**mirror, "target": "team/app"}, {**mirror, "target": "other"})
    world.apply()
    assert changes(world.plan()) == []
    world.run("verify", "--deep")
    listed = subprocess.run(["tar", "-tf", tmp_path / "images.tar"], check=True, capture_output=True, text=True)
    assert listed.stdout.split()[-3:] == ["index.json", "manifest.json", "oci-layout"]
    folder = tmp_path / "images.tar.d"
    assert json.loads(skopeo("inspect", "--raw", f"oci:{folder}:team/app:1")) == json.loads(V1.body)
    skopeo("copy", "--all", f"oci-archive:{tmp_path}/images.tar:other:2", f"dir:{tmp_path}/pulled")
    assert json.loads((tmp_path / "pulled/manifest.json").read_text()) == json.loads(V2.body)
    with new_podman("") as podman:
        podman("pull", f"oci:{folder}:team/app:1")
        podman("pull", f"oci-archive:{tmp_path}/images.tar:team/app:2")
        ids = {one[:12] for one in podman("image", "list", "--quiet", "--no-trunc").replace("sha256:", "").split()}
    configs = [json.loads(one.children[0].body)["config"]["digest"] for one in (V1, V2)]
    assert ids == {digest.removeprefix("sha256:")[:12] for digest in configs}


def test_what_skopeo_has_written_to_a_layout_stays(tmp_path: Path, skopeo: Skopeo) -> None:
    write_layout(tmp_path / "source", {"1": V1, "2": V2})
    world = World(tmp_path, {"type": "oci", "path": "./images"})
    world.mirrors({"source": "oci:./source", "target": "team/app", "tags": ["1"]})
    world.apply()
    for name in ("team/app:mine", "team/app:1"):
        skopeo("copy", "--all", f"oci:{tmp_path}/source:2", f"oci:{tmp_path}/images:{name}")
    (tmp_path / "source/index.json").unlink()
    write_layout(tmp_path / "source", {"1": app("3")})
    said = world.run("apply", "--yes", code=1)
    assert "which r2mirror did not publish" in said.stdout + said.stderr
    for name in ("mine", "1"):
        assert json.loads(skopeo("inspect", "--raw", f"oci:{tmp_path}/images:team/app:{name}")) == json.loads(V2.body)
