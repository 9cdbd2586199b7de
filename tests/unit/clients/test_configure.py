"""Configuration printed for each client: what it can stand in for, what it must not, and that every line is true."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from reconciler.cli.render.clients import client_config_document, client_config_text
from reconciler.clients import Client, ClientConfig
from reconciler.clients.configure import configure
from reconciler.clients.upstreams import upstreams
from reconciler.errors import UsageError
from reconciler.mirrors.load import load_mirrors
from reconciler.mirrors.schema_files import load_schema
from tests.world import InProcess, World

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors

CLOUDFLARES = {"type": "r2", "account_id": "0" * 32, "bucket": "abc", "public_url": "https://cr.example.com"}
OWN = {"source": "oci:./images", "target": "own/app", "tags": ["1"]}
PREFIXED = {"source": "ghcr.io/acme/app", "target": "cache/ghcr.io/acme/app", "tags": ["1"]}
ALPINE = {"source": "docker.io/library/alpine", "tags": ["latest"]}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return InProcess(tmp_path, CLOUDFLARES)


def mirrors(world: World, *entries: dict[str, Any]) -> Mirrors:
    world.mirrors(*entries)
    return load_mirrors(world.folder / "mirrors.yaml", {})


def content(config: ClientConfig, path: str = "") -> str:
    (file,) = (file for file in config.files if path in file.path)
    return file.content


def test_docker_in_full(world: World) -> None:
    entries = (ALPINE, {"source": "ghcr.io/acme/app", "target": "ghcr.io/acme/app", "tags": ["1"]})
    config = configure(Client.DOCKER, mirrors(world, *entries))
    assert client_config_text(config) == (
        "# /etc/docker/daemon.json\n"
        "# Add these keys to the existing file; then: systemctl reload docker\n"
        "{\n"
        '  "registry-mirrors": [\n'
        '    "https://cr.example.com"\n'
        "  ]\n"
        "}\n"
        "\n"
        "# /etc/docker/certs.d/ghcr.io/hosts.toml\n"
        "# Docker 28 and newer read it at each docker build, and at each docker pull with containerd's image\n"
        "# store\n"
        'server = "https://ghcr.io"\n'
        "\n"
        '[host."https://cr.example.com/v2/ghcr.io"]\n'
        '  capabilities = ["pull", "resolve"]\n'
        "  override_path = true\n"
        "\n"
        "# Pull from cr.example.com:\n"
        "#   docker pull cr.example.com/library/alpine:latest\n"
        "\n"
        "# Pull through it; images that it lacks come from docker.io, ghcr.io:\n"
        "#   docker pull alpine:latest\n"
        "#   docker pull ghcr.io/acme/app:1\n"
        "\n"
        "# Notes:\n"
        "# - ghcr.io: Docker before 28, and docker pull without containerd's image store (the default of new\n"
        "#   installations since 29, features.containerd-snapshotter in daemon.json before), use the source;\n"
        "#   pull by the name here, e.g. cr.example.com/ghcr.io/acme/app\n"
    )


@pytest.mark.parametrize("client", Client)
def test_a_certificate_of_ones_own_authority_is_named_where_it_can_be(world: World, client: Client) -> None:
    """Without it each of them pulls from the source, as while the mirror is down."""
    world.store = {"type": "file", "path": "./mirror", "public_url": "https://cr.example.com"}
    (note,) = (one for one in configure(client, mirrors(world, ALPINE)).notes if "private CA" in one)
    assert "silently" in note
    assert "ca" in note.rpartition(": ")[2]
    for store in (CLOUDFLARES, {**world.store, "public_url": "http://cr.example.com"}):
        world.store = store
        assert "private CA" not in " ".join(configure(client, mirrors(world, ALPINE)).notes)
    world.store = {"type": "file", "path": "./mirror", "public_url": "https://cr.example.com"}
    assert configure(client, mirrors(world, OWN)).notes == ()


def test_docker_wants_the_certificate_where_each_of_its_parts_looks(world: World) -> None:
    world.store = {"type": "file", "path": "./mirror", "public_url": "https://cr.example.com"}
    hub, other = "/etc/docker/certs.d/docker.io/ca.crt", "in each [host] table of hosts.toml"
    for entries, there, absent in (
        ((ALPINE,), [hub], [other]),
        ((ALPINE, PREFIXED), [hub, other], []),
        (({**ALPINE, "target": "hub/library/alpine"},), [other], [hub]),
    ):
        note = configure(Client.DOCKER, mirrors(world, *entries)).notes[-1]
        assert "/etc/docker/certs.d/cr.example.com/ca.crt" in note
        assert [place in note for place in there] == [True] * len(there)
        assert [place in note for place in absent] == [False] * len(absent)


def test_docker_finds_docker_hub_below_a_prefix_too(world: World) -> None:
    config = configure(Client.DOCKER, mirrors(world, {**ALPINE, "target": "hub/library/alpine"}))
    (file,) = config.files
    assert file.path == "/etc/docker/certs.d/docker.io/hosts.toml"
    assert tomllib.loads(file.content) == {
        "server": "https://registry-1.docker.io",
        "host": {"https://cr.example.com/v2/hub": {"capabilities": ["pull", "resolve"], "override_path": True}},
    }
    assert [pull.command for pull in config.pulls if pull.through] == ["docker pull alpine:latest"]
    assert "pull by the name here, e.g. cr.example.com/hub/library/alpine" in config.notes[0]


def test_containerd_is_warned_of_two_folders_and_of_ctr_2(world: World) -> None:
    one = mirrors(world, ALPINE)
    for client in (Client.CONTAINERD, Client.KUBERNETES):
        (note,) = (note for note in configure(client, one).notes if "two folders" in note)
        assert 'config_path = "/etc/containerd/certs.d:/etc/docker/certs.d"' in note
    assert "skip-metadata" not in " ".join(configure(Client.CONTAINERD, one).notes)
    one = mirrors(world, {**ALPINE, "platforms": ["linux/amd64"]}, {**PREFIXED, "platforms": ["linux/amd64"]})
    (note,) = (note for note in configure(Client.CONTAINERD, one).notes if "skip-metadata" in note)
    assert note.startswith("cr.example.com/library/alpine (and 1 more like it) has only some platforms: ctr 2")


def test_a_registry_with_https_and_nothing_to_stand_in_for_needs_no_file(world: World) -> None:
    one = mirrors(world, {"source": "oci:./images", "target": "own/app", "tags": ["1"]})
    for client in Client:
        config = configure(client, one)
        assert config.files == ()
        assert config.notes == ()
        assert [pull.through for pull in config.pulls] == [None]
        assert client_config_text(config).startswith(
            "# Nothing to configure: cr.example.com works like any other registry"
        )


def test_a_prefix_of_a_registry_in_every_client_that_can_use_one(world: World) -> None:
    one = mirrors(world, PREFIXED)
    assert tomllib.loads(content(configure(Client.CONTAINERD, one))) == {
        "server": "https://ghcr.io",
        "host": {
            "https://cr.example.com/v2/cache/ghcr.io": {"capabilities": ["pull", "resolve"], "override_path": True}
        },
    }
    assert tomllib.loads(content(configure(Client.PODMAN, one))) == {
        "registry": [{"location": "ghcr.io", "mirror": [{"location": "cr.example.com/cache/ghcr.io"}]}]
    }
    assert tomllib.loads(content(configure(Client.BUILDKIT, one))) == {
        "registry": {"ghcr.io": {"mirrors": ["cr.example.com/cache/ghcr.io"]}}
    }
    assert YAML(typ="safe").load(content(configure(Client.K3S, one))) == {
        "mirrors": {"ghcr.io": {"endpoint": ["https://cr.example.com/v2/cache/ghcr.io"]}}
    }
    config_map, _ = YAML(typ="safe").load_all(content(configure(Client.KUBERNETES, one)))
    assert config_map["data"] == {"ghcr.io": content(configure(Client.CONTAINERD, one))}
    config = configure(Client.DOCKER, one)
    assert [file.path for file in config.files] == ["/etc/docker/certs.d/ghcr.io/hosts.toml"]
    assert content(config) == content(configure(Client.CONTAINERD, one))


def test_plain_http_of_the_mirror_and_of_a_source(world: World) -> None:
    world.store = {"type": "file", "path": "./mirror", "public_url": "http://mirror.lan:8080/"}
    world.registries = {"reg.lan:5000": {"plain_http": True}}
    one = mirrors(world, {"source": "reg.lan:5000/team/app", "tags": ["1"]})
    docker = configure(Client.DOCKER, one)
    assert json.loads(content(docker, "/daemon.json")) == {"insecure-registries": ["mirror.lan:8080"]}
    assert content(docker, "/reg.lan_5000_/") == content(configure(Client.CONTAINERD, one), "/reg.lan_5000_/")
    config = configure(Client.CONTAINERD, one)
    assert tomllib.loads(content(config, "/mirror.lan_8080_/")) == {"server": "http://mirror.lan:8080"}
    assert tomllib.loads(content(config, "/reg.lan_5000_/")) == {
        "server": "http://reg.lan:5000",
        "host": {"http://mirror.lan:8080": {"capabilities": ["pull", "resolve"]}},
    }
    own, source = tomllib.loads(content(configure(Client.PODMAN, one)))["registry"]
    assert own == {"location": "mirror.lan:8080", "insecure": True}
    assert (source["insecure"], source["mirror"][0]["insecure"]) == (True, True)
    assert tomllib.loads(content(configure(Client.BUILDKIT, one)))["registry"] == {
        "mirror.lan:8080": {"http": True},
        "reg.lan:5000": {"mirrors": ["mirror.lan:8080"], "http": True},
    }
    assert YAML(typ="safe").load(content(configure(Client.K3S, one)))["mirrors"] == {
        "mirror.lan:8080": {"endpoint": ["http://mirror.lan:8080"]},
        "reg.lan:5000": {"endpoint": ["http://mirror.lan:8080", "http://reg.lan:5000"]},
    }


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({"source": "ghcr.io/acme/app", "tags": ["1"]}, "docker.io/acme/app"),
        ({"source": "oci:./images", "target": "acme/app", "tags": ["1"]}, "docker.io/acme/app"),
        ({"source": "docker.io/acme/old", "target": "acme/new", "tags": ["1"]}, "docker.io/acme/new"),
    ],
)
def test_nothing_is_printed_that_would_pass_off_another_image(world: World, other: dict[str, Any], name: str) -> None:
    """A client that asks this mirror for `name` would be given what is not `name`."""
    one = mirrors(world, ALPINE, other)
    for client in Client:
        config = configure(client, one)
        if client is Client.PODMAN:  # which can be told of one repository alone
            tables = tomllib.loads(content(config))["registry"]
            assert "docker.io" not in {table["location"] for table in tables}
            assert {
                "location": "docker.io/library/alpine",
                "mirror": [{"location": "cr.example.com/library/alpine"}],
            } in (tables)
        else:
            assert not [file for file in config.files if '"docker.io"' in file.content or "/docker.io/" in file.path]
            (note,) = (note for note in config.notes if note.startswith("docker.io/library/alpine: not pulled through"))
            assert f", for {name}" in note


@pytest.mark.parametrize("target", ["app", "ghcr.io/acme/app", "a/b/c"])
def test_a_target_that_cannot_be_a_name_on_docker_hub_shadows_none(world: World, target: str) -> None:
    other = {"source": "oci:./images", "target": target, "tags": ["1"]}
    assert "registry-mirrors" in content(configure(Client.DOCKER, mirrors(world, ALPINE, other)))


def test_a_renamed_repository_is_for_podman_alone(world: World) -> None:
    one = mirrors(world, {"source": "quay.io/acme/app", "target": "renamed.local/tool", "tags": ["1"]})
    assert tomllib.loads(content(configure(Client.PODMAN, one))) == {
        "registry": [{"location": "quay.io/acme/app", "mirror": [{"location": "cr.example.com/renamed.local/tool"}]}]
    }
    (note,) = configure(Client.CONTAINERD, one).notes
    assert note == (
        "quay.io/acme/app: containerd cannot be configured to find it as renamed.local/tool; "
        "pull cr.example.com/renamed.local/tool"
    )


def test_several_prefixes_of_a_registry_are_asked_in_turn(world: World) -> None:
    one = mirrors(
        world,
        {"source": "quay.io/a/x", "target": "few/a/x", "tags": ["1"]},
        {"source": "quay.io/a/y", "target": "many/a/y", "tags": ["1"]},
        {"source": "quay.io/a/z", "target": "many/a/z", "tags": ["1"]},
    )
    config = configure(Client.K3S, one)
    urls = ["https://cr.example.com/v2/many", "https://cr.example.com/v2/few"]
    assert YAML(typ="safe").load(content(config))["mirrors"]["quay.io"] == {"endpoint": urls}
    assert config.notes == ()
    hosts = tomllib.loads(content(configure(Client.CONTAINERD, one)))["host"]
    assert list(hosts) == urls


def test_podman_is_told_that_it_does_not_go_on_where_a_platform_is_left_out(world: World) -> None:
    one = mirrors(world, {**ALPINE, "platforms": ["linux/arm64"]})
    (note,) = configure(Client.PODMAN, one).notes
    assert note.startswith("docker.io/library/alpine is mirrored only for linux/arm64")


@pytest.mark.parametrize(
    ("url", "words"), [(None, "public_url is missing"), ("https://cr.example.com/mirror", "at the root of a host")]
)
def test_a_store_without_a_public_address(world: World, url: str | None, words: str) -> None:
    world.store = {key: value for key, value in {**world.store, "public_url": url}.items() if value}
    with pytest.raises(UsageError, match=words):
        configure(Client.DOCKER, mirrors(world, ALPINE))
    assert words in world.run("client-config", "docker", code=1).stderr


def test_the_command_prints_what_the_schema_says_and_wants_variables_only_for_the_public_url(world: World) -> None:
    world.store = {"type": "r2", "account_id": "${ACCOUNT}", "bucket": "abc", "public_url": "https://cr.example.com"}
    world.mirrors(ALPINE, PREFIXED)
    validator = Draft202012Validator(load_schema("client-config"))
    for client in ("docker", "kubernetes"):
        validator.validate(json.loads(world.run("client-config", client, "--format", "json").stdout))
    world.store = {**world.store, "public_url": "https://${HERE}"}
    world.mirrors(ALPINE)
    assert "HERE is not set" in world.run("client-config", "docker", code=1).stderr
    world.environ = {"HERE": "cr.example.net", "ACCOUNT": "0" * 32}
    assert '"https://cr.example.net"' in world.run("client-config", "docker").stdout


NAMES = st.sampled_from(["a", "b", "library/a", "x/a", "x/b", "x.y/a", "x.y/x/a", "r.io/x/a", "docker.io/x/a"])
SOURCES = st.tuples(st.sampled_from(["docker.io", "r.io", "s.io:5000"]), NAMES).map("/".join) | st.just("oci:./images")


@given(entries=st.dictionaries(NAMES, SOURCES, min_size=1, max_size=8))
def test_whatever_a_client_is_told_leads_to_the_image_of_that_name(
    entries: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every name that a client may ask for below a usable prefix is either there under that name, or not there."""
    world = InProcess(
        tmp_path_factory.getbasetemp(), {"type": "file", "path": "./m", "public_url": "https://cr.example"}
    )
    one = mirrors(world, *({"source": source, "target": target, "tags": ["1"]} for target, source in entries.items()))
    there = {mirror.target: mirror.source for mirror in one.mirrors}
    found = upstreams(one.mirrors, one.registries)
    for upstream in found:
        for prefix in upstream.usable:
            for name in ("a", "b", "library/a", "x/a", "x/b", "x.y/a", "x.y/x/a", "r.io/x/a", "docker.io/x/a"):
                if upstream.registry == "docker.io" and (name.count("/") != 1 or "." in name.partition("/")[0]):
                    continue
                assert there.get(prefix.target(name), f"{upstream.registry}/{name}") == f"{upstream.registry}/{name}"
        mirrored = {f"{upstream.registry}/{name}" for prefix in upstream.prefixes for name in prefix.repositories}
        mirrored |= {f"{upstream.registry}/{name}" for name in upstream.renamed}
        assert mirrored == {source for source in there.values() if source.startswith(f"{upstream.registry}/")}
    tables = [
        table for file in configure(Client.PODMAN, one).files for table in tomllib.loads(file.content)["registry"]
    ]
    assert len({table["location"] for table in tables}) == len(tables)
    for table in tables:
        if "/" in table["location"]:
            for place in table["mirror"]:
                assert there[place["location"].removeprefix("cr.example/")] == table["location"]
    for client in Client:
        config = configure(client, one)
        Draft202012Validator(load_schema("client-config")).validate(client_config_document(config))
        text = client_config_text(config)
        assert all(file.content in text for file in config.files)


def test_namespaces(world: World) -> None:
    kept = {"source": "quay.io/prometheus/*", "tags": ["latest"]}
    whole = configure(Client.CONTAINERD, mirrors(world, kept))
    assert '[host."https://cr.example.com"]' in content(whole)
    assert "docker pull" not in client_config_text(whole)
    renamed = configure(Client.PODMAN, mirrors(world, {**kept, "target": "prom/{name}"}))
    assert 'location = "quay.io/prometheus"\n\n[[registry.mirror]]\nlocation = "cr.example.com/prom"' in content(
        renamed
    )
    with_note = client_config_text(configure(Client.CONTAINERD, mirrors(world, {**kept, "target": "prom/{name}"})))
    assert "pull cr.example.com/prom/repository" in with_note
