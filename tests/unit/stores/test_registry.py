"""A registry as the store of mirrors.yaml: what is read from it, and every message about what is wrong in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.clients import Client
from reconciler.clients.configure import configure
from reconciler.errors import MirrorsInvalid
from reconciler.mirrors.load import load_mirrors
from reconciler.mirrors.review import review
from reconciler.stores.buckets import S3
from reconciler.stores.folder import Folder
from reconciler.stores.registry import Creation, Deletion, RegistryStore

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors

STATE = "state: {type: file, path: s}"
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
EXAMPLES = Path(__file__).parents[3] / "examples"


def load(folder: Path, store: str, mirror: str = "source: alpine", rest: str = "", **environ: str) -> Mirrors:
    text = f"version: 1\nstore: {{type: registry, {store}}}\nmirrors: [{{{mirror}, tags: [a]}}]\n{rest}"
    (folder / "mirrors.yaml").write_text(text)
    return load_mirrors(folder / "mirrors.yaml", environ or None)


def test_every_key(tmp_path: Path) -> None:
    create = "{mutability: IMMUTABLE, scan_on_push: true, lifecycle_policy_file: l.json, tags: {b: '2', a: '1'}}"
    state = "{type: s3, bucket: '${B}', region: eu-central-1}"
    keys = f"registry: '{ECR}', prefix: p/q, state: {state}, delete: untag, create: {create}"
    assert load(tmp_path, keys, B="cr-state").store == RegistryStore(
        ECR,
        S3("cr-state", "eu-central-1", None, None, None),
        "p/q",
        Deletion.UNTAG,
        Creation("IMMUTABLE", True, tmp_path / "l.json", (("a", "1"), ("b", "2"))),
    )


def test_what_is_not_said(tmp_path: Path) -> None:
    store = load(tmp_path, f"registry: 'Localhost:5000', {STATE}").store
    assert store == RegistryStore("localhost:5000", Folder(tmp_path / "s", None))
    assert isinstance(store, RegistryStore)
    assert store.path("library/alpine") == "library/alpine"


def test_docker_hub_has_one_name(tmp_path: Path) -> None:
    store = load(tmp_path, f"registry: registry-1.docker.io, {STATE}", "source: quay.io/a/b").store
    assert isinstance(store, RegistryStore)
    assert store.registry == "docker.io"


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ("registry: h.example", "2:1: store.state: is missing; write for example state: "),
        (STATE, "2:1: store.registry: is missing; write for example registry: registry.example.com:5000"),
        ("registry: h.example, state: {type: registry}", "store.state.type: expected one of r2, s3, file, got registry"),
        ("registry: h.example, state: {}", "store.state.type: is missing"),
        ("registry: h.example, state: {type: s3}", "store.state.bucket: is missing"),
        ("registry: h.example, state: {type: s3, bucket: A_B}", "store.state.bucket: is not a valid bucket name"),
        ("registry: h.example, state: {type: s3, bucket: '${NONE}'}", "store.state.bucket: the environment variable NONE"),
        ("registry: h.example, state: {type: file, path: s, public_url: 'https://a.b'}", "store.state.public_url: is not valid in state"),
        ("registry: h.example, state: {type: s3, bucket: abc, state_bucket: abcd}", "store.state.state_bucket: is not valid in state; name that bucket as"),
        (f"registry: h.example, public_url: 'https://a.b', {STATE}", "store.public_url: is not valid here: clients pull from the registry itself"),
        (f"registry: h.example, state_bucket: abc, {STATE}", "store.state_bucket: is not valid here; name that bucket as state.bucket"),
        (f"registry: 'https://h.example', {STATE}", "store.registry: is not a host: write host or host:port alone"),
        (f"registry: h.example/team, {STATE}", "and the path below it as store.prefix"),
        (f"registry: team, {STATE}", "store.registry: is not a registry's host or host:port"),
        (f"registry: h.example, prefix: /a, {STATE}", "store.prefix: is not a valid path"),
        (f"registry: h.example, prefix: A, {STATE}", "store.prefix: is not a valid path"),
        (f"registry: h.example, delete: digest, {STATE}", "store.delete: expected one of tag, untag, got digest"),
        (f"registry: h.example, create: {{scan_on_push: true}}, {STATE}", "store.create: is only valid at Amazon ECR, and h.example is not"),
        (f"registry: '{ECR}', create: {{mutability: other}}, {STATE}", "store.create.mutability: expected one of MUTABLE, IMMUTABLE, got other"),
        (f"registry: '{ECR}', create: {{tags: {{a: 1}}}}, {STATE}", "store.create.tags.a: YAML reads this as the number 1"),
        (f"registry: docker.io, prefix: team, {STATE}", "mirrors[0].source: team/library/alpine has 3 parts, and Docker Hub takes 2: namespace/name"),
        (f"registry: public.ecr.aws, {STATE}, prefix: a/b", ""),
    ],
)  # fmt: skip
def test_what_is_wrong(tmp_path: Path, store: str, expected: str) -> None:
    if not expected:
        load(tmp_path, store)
        return
    with pytest.raises(MirrorsInvalid) as caught:
        load(tmp_path, store, A="")
    (problem,) = map(str, caught.value.problems)
    assert expected in problem


@pytest.mark.parametrize(
    ("store", "mirror", "expected"),
    [
        ("registry: ghcr.io", "source: a/b, target: app", "target: app is too short for GitHub Container Registry: expected owner/name"),
        ("registry: h.example, prefix: m", "source: h.example/m/x, target: x", "target: h.example/m/x would be copied to itself"),
        ("registry: h.example", "source: h.example/m/x", "source: h.example/m/x would be copied to itself"),
        ("registry: h.example, prefix: abcd", f"source: a/b, target: {'x' * 251}", "target: has 251 characters, the maximum is 250 after the prefix abcd/"),
    ],
)  # fmt: skip
def test_targets_that_the_registry_cannot_have(tmp_path: Path, store: str, mirror: str, expected: str) -> None:
    with pytest.raises(MirrorsInvalid) as caught:
        load(tmp_path, f"{store}, {STATE}", mirror)
    (problem,) = map(str, caught.value.problems)
    assert f"mirrors[0].{expected}" in problem


def test_an_edge_has_nothing_to_manage_there(tmp_path: Path) -> None:
    with pytest.raises(MirrorsInvalid, match="edge: is only valid with a store of type r2"):
        load(tmp_path, f"registry: h.example, {STATE}", rest="edge: {zone: example.com}\n")


def test_clients_pull_below_the_prefix(tmp_path: Path) -> None:
    rest = "registries: {'h.example:5000': {plain_http: true}}\n"
    mirrors = load(tmp_path, f"registry: 'h.example:5000', prefix: m, {STATE}", rest=rest)
    found = configure(Client.DOCKER, mirrors)
    assert any("h.example:5000/m/library/alpine:a" in pull.command for pull in found.pulls)
    assert any("http://h.example:5000/v2/m" in file.content for file in found.files)


@pytest.mark.parametrize(
    ("host", "settings", "scheme"),
    [
        ("localhost:5000", "", "http"),
        ("127.0.0.1:5000", "", "http"),
        ("localhost:5000", "plain_http: false", "https"),
        ("localhost:5000", "ca_file: ca.pem", "https"),
        ("h.example:5000", "", "https"),
    ],
)
def test_clients_speak_http_to_a_registry_on_this_machine(
    host: str, settings: str, scheme: str, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").touch()
    rest = f"registries: {{'{host}': {{{settings}}}}}\n" if settings else ""
    found = configure(Client.PODMAN, load(tmp_path, f"registry: '{host}', {STATE}", rest=rest))
    assert ("insecure = true" in found.files[0].content) == (scheme == "http")


def test_a_change_of_what_is_nested_is_reviewed(tmp_path: Path) -> None:
    before = load(tmp_path, f"registry: '{ECR}', {STATE}")
    after = load(tmp_path, f"registry: '{ECR}', prefix: m, state: {{type: file, path: t}}, create: {{tags: {{a: b}}}}")
    (edit,) = review(before, after)
    assert edit.words == (
        "create.mutability: not set -> MUTABLE",
        "create.scan_on_push: not set -> false",
        "create.tags: not set -> a: b",
        "prefix:  -> m",
        f"state.path: {tmp_path}/s -> {tmp_path}/t",
    )


OF_OTHER_PROGRAMS = {"prometheus-alerts.yaml"}


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(EXAMPLES.glob("*.yaml")) if path.name not in OF_OTHER_PROGRAMS],
    ids=lambda path: path.name,
)
def test_the_examples_are_valid(path: Path) -> None:
    if path.name != "github-workflow.yml":
        load_mirrors(path, None, read_files=False)
