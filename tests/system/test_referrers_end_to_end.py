"""Referrers on real parts: pushed to docker-registry, found by clients on a static bucket."""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.parts.images import Image, app, artifact, cosign_signature, digest_of, image, index, push, push_referrer
from tests.world import World, changes, from_folder, from_url, walk

if TYPE_CHECKING:
    from tests.parts.docker_registry import DockerRegistry
    from tests.parts.nginx_edge import Edge
    from tests.parts.skopeo import Skopeo


APP = app("1.0")
AMD64 = APP.children[0]
SBOM = artifact("application/vnd.example.sbom", [("text/plain", b"contents")], APP, {"org.example.made": "today"})
SIGNATURE = artifact("application/vnd.example.signature", [("text/plain", b"signed")], SBOM)
NOTE = artifact("application/vnd.example.note", subject=AMD64)
LATER = artifact("application/vnd.example.signature", [("text/plain", b"later")], APP)
PAYLOAD = json.dumps({"critical": {"image": {"docker-manifest-digest": AMD64.digest}}}).encode()
SIGNED = cosign_signature(PAYLOAD, "c2lnbmVk")


def named(one: Image, kind: str) -> str:
    return f"{one.digest.replace(':', '-')}{kind}"


def test_what_is_attached_is_found_on_a_static_bucket(
    bucket_world: World, docker_registry: DockerRegistry, nginx_edge: Edge, skopeo: Skopeo, tmp_path: Path
) -> None:
    world, host = bucket_world, docker_registry.host
    push(APP, host, "team/app", "1.0")
    for one in (SBOM, SIGNATURE, NOTE):
        push_referrer(one, host, "team/app")
    cosign = {named(APP, ".att"): index(image(b"attestation")), named(AMD64, ".sig"): SIGNED}
    for tag, one in cosign.items():
        push(one, host, "team/app", tag)
    world.mirrors({"source": f"{host}/team/app", "target": "app", "tags": ["1.0"], "referrers": True})
    assert world.apply()["summary"] == {"done": 1, "failed": 0, "skipped": 0}

    read = from_url(nginx_edge.url)
    for subject, referrers in ((APP, [SBOM]), (SBOM, [SIGNATURE]), (AMD64, [NOTE])):
        assert fetch_referrers(nginx_edge, subject) == referrers_of(subject, referrers)
        for one in referrers:
            assert walk(read, "app", one.digest) >= set(one.all_blobs())
    for one in (APP.children[1], SIGNATURE, NOTE, SIGNED, *cosign[named(APP, ".att")].manifests()):
        assert fetch_referrers(nginx_edge, one) == [], "a client that got one list takes 404 for an error"
    assert ask_referrers(nginx_edge, image(b"not there")).status_code == httpx.codes.NOT_FOUND
    for tag, one in cosign.items():
        assert httpx.get(f"{nginx_edge.url}/v2/app/manifests/{tag}").content == one.body
        walk(read, "app", tag)
    assert signature_that_skopeo_copies(skopeo, nginx_edge, AMD64, tmp_path)["payload"] == b64encode(PAYLOAD).decode()
    tags = [named(one, "") for one in (APP, SBOM, AMD64)]
    assert json.loads(skopeo("list-tags", f"docker://{nginx_edge.host}/app"))["Tags"] == sorted(["1.0", *tags, *cosign])
    assert (
        world.run("verify", "--deep").stdout.splitlines()[-1] == "1 tag in 1 repository: all as the mirror index says."
    )

    asked = len(docker_registry.requests())
    assert changes(world.plan("--detailed-exitcode")) == []
    requests = docker_registry.requests()[asked:]
    assert not [one for one in requests if one.method == "GET" and "/manifests/" in one.path], "no pull is spent"
    subjects = [
        APP,
        *APP.children,
        SBOM,
        SIGNATURE,
        NOTE,
        *(each for one in cosign.values() for each in one.manifests()),
    ]
    assert Counter(f"{one.method} {one.path.split('/')[4]}" for one in requests if "team" in one.path) == {
        "HEAD manifests": 1 + 3 + len(cosign),
        "GET tags": 1,
        "GET referrers": len(subjects),
    }

    push_referrer(LATER, host, "team/app")
    plan = world.plan("--detailed-exitcode", code=2)
    assert changes(plan) == [("update", "app", "1.0")]
    assert plan["repositories"][0]["changes"][0]["reason"] == "referrers: + 1"
    world.apply()
    assert fetch_referrers(nginx_edge, APP) == referrers_of(APP, [SBOM, LATER])
    assert changes(world.plan("--detailed-exitcode")) == []


@pytest.mark.parametrize("referrers", [True, False])
def test_a_mirror_of_a_mirror_is_whole(
    referrers: bool, bucket_world: World, docker_registry: DockerRegistry, nginx_edge: Edge, tmp_path: Path
) -> None:
    """By all the tags that the first one lists, those of signatures and of lists of referrers included."""
    host = docker_registry.host
    push(APP, host, "team/app", "1.0")
    for one in (SBOM, SIGNATURE, NOTE):
        push_referrer(one, host, "team/app")
    push(SIGNED, host, "team/app", named(AMD64, ".sig"))
    bucket_world.mirrors({"source": f"{host}/team/app", "target": "app", "tags": ["1.0"], "referrers": True})
    bucket_world.apply()
    (tmp_path / "second").mkdir()
    store = {"type": "file", "path": "./mirror"}
    second = World(tmp_path / "second", store, {nginx_edge.host: {"plain_http": True}})
    source = f"{nginx_edge.host}/app"
    second.mirrors({"source": source, "target": "app", "tags": [{"glob": "*"}], "referrers": referrers})
    along = {named(AMD64, ".sig"), *(named(one, "") for one in (APP, SBOM, AMD64))}
    chosen = {"1.0"} if referrers else {"1.0", *along}
    assert {tag for _, _, tag in changes(second.plan())} == chosen
    assert second.apply()["summary"] == {"done": len(chosen), "failed": 0, "skipped": 0}
    read = from_folder(second.folder / "mirror")
    assert set(json.loads(read("v2/app/tags/list"))["tags"]) == {"1.0", *along}
    for tag in ("1.0", *along):
        walk(read, "app", tag)
    second.run("verify", "--deep")
    assert changes(second.plan("--detailed-exitcode")) == []


def referrers_of(subject: Image, referrers: list[Image]) -> list[dict[str, Any]]:
    """The entries of a list of referrers, as the distribution specification wants them."""
    entries = []
    for one in sorted(referrers, key=lambda one: one.digest):
        document = json.loads(one.body)
        annotations = {"annotations": document["annotations"]} if "annotations" in document else {}
        assert document["subject"]["digest"] == subject.digest
        entries.append({**one.descriptor(), "artifactType": document["artifactType"], **annotations})
    return entries


def fetch_referrers(edge: Edge, subject: Image) -> list[dict[str, Any]]:
    """As oras, cosign and go-containerregistry get them: from the API, and where they do not ask that, from the tag."""
    api = ask_referrers(edge, subject).raise_for_status()
    entries: list[dict[str, Any]] = api.json()["manifests"]
    assert api.json()["schemaVersion"] == 2
    tagged = httpx.get(f"{edge.url}/v2/app/manifests/{named(subject, '')}")
    assert tagged.is_success is bool(entries)
    answers = [api]
    if entries:
        by_digest = httpx.get(f"{edge.url}/v2/app/manifests/{digest_of(tagged.content)}").raise_for_status()
        assert api.content == tagged.content == by_digest.content
        answers.append(tagged)
    for answer in answers:
        assert answer.headers["content-type"] == "application/vnd.oci.image.index.v1+json"
        assert answer.headers["cache-control"] == "no-cache, no-transform"
    return entries


def ask_referrers(edge: Edge, subject: Image) -> httpx.Response:
    return httpx.get(f"{edge.url}/v2/app/referrers/{subject.digest}?artifactType=a")


def signature_that_skopeo_copies(skopeo: Skopeo, edge: Edge, one: Image, folder: Path) -> dict[str, Any]:
    """Skopeo looks for cosign's tag where it is told that there are some, and keeps what it finds beside the image."""
    (folder / "registries.d").mkdir()
    attachments = {"docker": {edge.host: {"use-sigstore-attachments": True}}}
    (folder / "registries.d" / "edge.yaml").write_text(json.dumps(attachments))
    looking = replace(skopeo, settings=("--registries.d", str(folder / "registries.d")))
    looking("copy", f"docker://{edge.host}/app@{one.digest}", f"dir:{folder / 'pulled'}")
    kind, _, body = (folder / "pulled" / "signature-1").read_bytes().partition(b"\n")
    assert kind == b"\0sigstore-json"
    signature: dict[str, Any] = json.loads(body)
    return signature
