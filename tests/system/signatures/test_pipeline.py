"""`signed_by` end to end: real images and signatures at a real registry, and the real command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

from reconciler.mirrors.schema_files import load_schema
from tests.parts.images import image, index, push
from tests.parts.signatures import (
    ISSUER,
    WORKFLOW,
    Sigstore,
    bundle_image,
    ec_key,
    fallback_index,
    fallback_tag,
    key_bundle,
    payload_for,
    public_pem,
    sig_image,
    sig_tag,
    simple,
    statement_for,
)
from tests.world import World, changes, walk

if TYPE_CHECKING:
    from tests.parts.docker_registry import DockerRegistry

KEY, STRANGER = ec_key(), ec_key()
SIGSTORE = Sigstore()


@pytest.fixture
def world(tmp_path: Path, docker_registry: DockerRegistry) -> World:
    """Images 1.0 to 6.0: signed with a key in both forms, keyless in both, by a stranger, and not at all."""
    host, repository = docker_registry.host, "team/app"
    images = {f"{number}.0": index(image({"v": str(number)})) for number in range(1, 7)}
    for tag, one in images.items():
        push(one, host, repository, tag)
    digests = {tag: one.digest for tag, one in images.items()}
    signatures = {
        sig_tag(digests["1.0"]): sig_image(simple(KEY, payload_for(digests["1.0"]))),
        sig_tag(digests["3.0"]): sig_image(SIGSTORE.simple(payload_for(digests["3.0"]))),
        sig_tag(digests["5.0"]): sig_image(simple(STRANGER, payload_for(digests["5.0"]))),
    }
    for tag, bundle in (
        ("2.0", key_bundle(KEY, statement_for(digests["2.0"]))),
        ("4.0", SIGSTORE.bundle(statement_for(digests["4.0"]))),
    ):
        signatures[fallback_tag(digests[tag])] = fallback_index(bundle_image(bundle, images[tag]))
    for tag, one in signatures.items():
        push(one, host, repository, tag)
    (tmp_path / "cosign.pub").write_bytes(public_pem(KEY))
    SIGSTORE.write(tmp_path / "trusted_root.json")
    made = World(tmp_path, {"type": "file", "path": "./mirror"}, {host: {"plain_http": True}})
    someone = {"identity": WORKFLOW, "issuer": ISSUER, "trusted_root": "trusted_root.json"}
    made.mirrors(
        {
            "source": f"{host}/{repository}",
            "target": "app",
            "tags": [{"glob": "*"}],
            "signed_by": [{"key": "./cosign.pub"}, someone],
        }
    )
    return made


def with_the_key_only(world: World) -> None:
    """Spares the command what keyless signatures need."""
    path = world.folder / "mirrors.yaml"
    document = json.loads(path.read_text())
    document["mirrors"][0]["signed_by"] = {"key": "cosign.pub"}
    path.write_text(json.dumps(document))


def test_the_plan_says_who_signed_and_the_apply_publishes_no_other(
    world: World, docker_registry: DockerRegistry
) -> None:
    plan = world.plan("--out", "plan.json", code=1)
    Draft202012Validator(load_schema("plan")).validate(plan)
    (repository,) = plan["repositories"]
    key, someone = "key ./cosign.pub", f"identity {WORKFLOW} of {ISSUER}"
    assert {change["tag"]: change["signature"] for change in repository["changes"]} == {
        "1.0": {"status": "verified", "by": key},
        "2.0": {"status": "verified", "by": key},
        "3.0": {"status": "verified", "by": someone},
        "4.0": {"status": "verified", "by": someone},
    }
    refused = {one["tag"]: one["reason"] for one in repository["refused"]}
    assert refused["6.0"] == f"not signed by {key} or {someone}: no signature is attached to it"
    assert ".sig signature 1: was not made with this key" in refused["5.0"]
    assert repository["error"].endswith("refused, since they are not signed as signed_by requires: 5.0, 6.0")

    outcome = world.apply("plan.json", code=1)
    Draft202012Validator(load_schema("outcome")).validate(outcome)
    assert sorted(one["tag"] for one in outcome["outcomes"]) == ["1.0", "2.0", "3.0", "4.0"]
    assert len(outcome["errors"]) == 3
    folder = world.folder / "mirror"
    assert json.loads((folder / "v2/app/tags/list").read_bytes())["tags"] == ["1.0", "2.0", "3.0", "4.0"]
    for tag in ("1.0", "2.0", "3.0", "4.0"):
        walk(lambda key: (folder / key).read_bytes(), "app", tag)

    before = len(docker_registry.requests())
    assert changes(world.plan(code=1)) == []
    asked = [one.path.rpartition("/")[2] for one in docker_registry.requests()[before:]]
    mirrored = {sig_tag(change["after"]["digest"]) for change in repository["changes"]}
    assert mirrored.isdisjoint(asked), "what is there is not checked again"
    assert {sig_tag(one["digest"]) for one in repository["refused"]} <= set(asked)


def test_a_saved_plan_is_a_claim_and_its_digests_are_checked(world: World) -> None:
    with_the_key_only(world)
    world.plan("--out", "plan.json", code=1)
    path = world.folder / "plan.json"
    document = json.loads(path.read_bytes())
    unsigned = document["repositories"][0]["refused"][-1]["digest"]
    document["repositories"][0]["changes"][0]["after"]["digest"] = unsigned
    path.write_text(json.dumps(document))
    outcome = world.apply("plan.json", code=1)
    failed = [one for one in outcome["outcomes"] if one["status"] == "failed"]
    assert [one["tag"] for one in failed] == ["1.0"]
    assert "no signature is attached to it" in failed[0]["reason"]


def test_signatures_are_checked_and_come_along(world: World, docker_registry: DockerRegistry) -> None:
    """`signed_by` and `referrers` together: what is signed arrives with its signature, and nothing is left to do."""
    source = f"{docker_registry.host}/team/app"
    signed = {"source": source, "target": "app", "tags": [{"glob": "?.0"}], "signed_by": {"key": "./cosign.pub"}}
    world.mirrors({**signed, "referrers": True})
    done = world.apply(code=1)
    assert {one["tag"] for one in done["outcomes"] if one["status"] == "done"} == {"1.0", "2.0"}
    mirror = world.folder / "mirror"
    for tag in ("1.0", "2.0"):
        walk(lambda key: (mirror / key).read_bytes(), "app", tag)
    tags = json.loads((mirror / "_mirror/index.json").read_bytes())["repositories"]["app"]["tags"]
    digests = {tag: tags[tag]["digest"] for tag in ("1.0", "2.0")}
    walk(lambda key: (mirror / key).read_bytes(), "app", sig_tag(digests["1.0"]))
    referrers = json.loads((mirror / "v2/app/referrers" / digests["2.0"]).read_bytes())
    [bundle] = referrers["manifests"]
    walk(lambda key: (mirror / key).read_bytes(), "app", bundle["digest"])
    assert changes(world.plan(code=1)) == []
