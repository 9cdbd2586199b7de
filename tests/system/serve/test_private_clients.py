"""Real clients log in to a private mirror and pull: from `serve --access`, and from the Worker in Cloudflare's runtime.

Each has a right token, a wrong one, one for another repository, one that was revoked and one that has expired. All read it
from the pull secret that `client-config kubernetes --secret` prints, as a kubelet does; containerd has no such file, and
gets it as an option, or in its hosts.toml.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from ruamel.yaml import YAML

from reconciler.access.config import TokenConfig, access_json
from reconciler.access.file import FileTokens, Hashes, write_hashes
from reconciler.access.token import Secret, hash_of
from reconciler.clients.pull_secret import pull_secret
from reconciler.edge.script import secret_name
from reconciler.mirrors.load import load_mirrors
from reconciler.oci.spec import OCI_MANIFEST
from reconciler.sources.helm_chart import make_artifact
from reconciler.stores.folder import Folder, FolderStore
from reconciler.target.layout import manifest_headers, manifest_key
from tests.parts.charts import chart
from tests.parts.clients import ClientRefused, new_podman, start_containerd, start_dockerd
from tests.parts.images import Image, image
from tests.parts.nginx_edge import start_passing_on
from tests.parts.private import KEY, publish
from tests.parts.process import find_program
from tests.parts.r2_simulator import start_r2_simulator, worker_host
from tests.parts.seaweedfs import bucket_store
from tests.parts.serving import running
from tests.world import World

if TYPE_CHECKING:
    from reconciler.stores import Store

IMAGE = image({"etc/name": "private"})
CLIENTS = ("docker", "containerd", "podman", "skopeo", "helm")
KINDS = ("right", "wrong", "other", "revoked", "expired")
"""Which tokens a client has; `wrong` is of the name that has the right one."""


def name_of(client: str, kind: str) -> str:
    """A name for each client and kind, so that no client makes another wait after failed logins."""
    return client if kind in ("right", "wrong") else f"{client}-{kind}"


ACCESS = {
    name_of(client, kind): TokenConfig(
        name_of(client, kind),
        ("team-b/*",) if kind == "other" else ("team-a/*",),
        date(2026, 1, 1) if kind == "expired" else None,
    )
    for client in CLIENTS
    for kind in KINDS
}
TOKENS = {name: f"r2m_the-token-of-{name}" for name in ACCESS}
HASHES = {name: hash_of(token.encode()) for name, token in TOKENS.items()}
REVOKED = tuple(name for name in ACCESS if name.endswith("-revoked"))
REFUSED = re.compile("unauthorized|denied|authentication required|invalid username/password|401|403", re.IGNORECASE)


class Login(NamedTuple):
    """What a client has: `folder` has it as config.json, from the pull secret."""

    host: str
    name: str
    token: str
    folder: Path

    @property
    def config(self) -> str:
        return str(self.folder / "config.json")

    @property
    def image(self) -> str:
        return f"{self.host}/team-a/app:1"

    @property
    def given(self) -> tuple[str, ...]:
        return ("--username", self.name, "--password", self.token)


class Client(NamedTuple):
    """Both raise `ClientRefused`. `login` logs in as users do, and keeps that in a file of its own."""

    name: str
    pull: Callable[[Login], object]
    login: Callable[[Login], object]


def ran(*command: str, environ: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        command, env={**os.environ, **(environ or {})}, capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise ClientRefused(done.stderr)


@contextmanager
def docker(folder: Path) -> Iterator[Client]:
    with start_dockerd(folder / "dockerd") as daemon:

        def pull(login: Login) -> None:
            daemon("--config", str(login.folder), "pull", login.image)
            daemon.remove_all()

        yield Client(
            "docker", pull, lambda login: daemon("--config", f"{login.folder}/own", "login", *login.given, login.host)
        )


@contextmanager
def containerd(folder: Path) -> Iterator[Client]:
    with start_containerd(folder / "containerd") as ctr:

        def pull(login: Login) -> None:
            ctr.pull(login.image, hosts(login, ""), "--user", f"{login.name}:{login.token}")
            ctr.remove_all()

        def pull_by_file(login: Login) -> None:
            basic = base64.b64encode(f"{login.name}:{login.token}".encode()).decode()
            ctr.pull(
                login.image, hosts(login, f'[host."http://{login.host}".header]\nauthorization = "Basic {basic}"\n')
            )
            ctr.remove_all()

        yield Client("containerd", pull, pull_by_file)


def hosts(login: Login, more: str) -> Path:
    """A certs.d for a registry without TLS, as kubelets' containerd has it."""
    folder = login.folder / "certs.d" / login.host
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hosts.toml").write_text(f'server = "http://{login.host}"\n{more}')
    return folder.parent


@contextmanager
def podman(folder: Path) -> Iterator[Client]:
    with new_podman("") as command:

        def pull(login: Login) -> None:
            command("pull", "--quiet", "--tls-verify=false", "--authfile", login.config, login.image)
            command.remove_all()

        def log_in(login: Login) -> None:
            command("login", "--tls-verify=false", "--authfile", f"{login.folder}/own.json", *login.given, login.host)

        yield Client("podman", pull, log_in)


@contextmanager
def skopeo(folder: Path) -> Iterator[Client]:
    program = find_program("skopeo", "apt-get install skopeo")

    def pull(login: Login) -> None:
        source, to = f"docker://{login.image}", f"dir:{login.folder / 'image'}"
        ran(program, "--insecure-policy", "copy", "--src-tls-verify=false", "--authfile", login.config, source, to)
        assert (login.folder / "image/manifest.json").read_bytes() == IMAGE.body

    def log_in(login: Login) -> None:
        ran(program, "login", "--tls-verify=false", "--authfile", f"{login.folder}/own.json", *login.given, login.host)

    yield Client("skopeo", pull, log_in)


@contextmanager
def helm(folder: Path) -> Iterator[Client]:
    program = find_program("helm", "make parts")
    environ = {f"HELM_{name}_HOME": str(folder / name) for name in ("CACHE", "CONFIG", "DATA")}

    def pull(login: Login) -> None:
        ran(
            program, "pull", f"oci://{login.host}/team-a/chart", "--version", "1.0.0", "--plain-http",
            "--registry-config", login.config, "--destination", str(login.folder), environ=environ,
        )  # fmt: skip
        assert (login.folder / "chart-1.0.0.tgz").read_bytes() == CHART

    def log_in(login: Login) -> None:
        own = ("--registry-config", f"{login.folder}/own.json")
        ran(program, "registry", "login", "--plain-http", *own, *login.given, login.host, environ=environ)

    yield Client("helm", pull, log_in)


STARTED: Mapping[str, Callable[[Path], AbstractContextManager[Client]]] = {
    "docker": docker, "containerd": containerd, "podman": podman, "skopeo": skopeo, "helm": helm
}  # fmt: skip
CHART = chart("chart", "1.0.0")


def fill(store: Store) -> None:
    made = make_artifact(CHART, None, "chart", "1.0.0", "the chart")
    packed = Image(
        OCI_MANIFEST,
        made.manifest,
        {str(made.chart): CHART, **{str(digest): body for digest, body in made.blobs.items()}},
    )
    publish(store, {"team-a/app": IMAGE, "team-a/chart": packed})
    store.put(manifest_key("team-a/chart", "1.0.0"), packed.body, manifest_headers(OCI_MANIFEST, "1.0.0"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("private"), {"type": "file", "path": "./mirror"})
    access = {
        name: {"repositories": list(one.repositories), **({"expires": str(one.expires)} if one.expires else {})}
        for name, one in ACCESS.items()
    }
    mirror = {"source": "oci:./images", "target": "team-a/app", "tags": ["1"]}
    document = {"version": 1, "store": world.store, "edge": {"access": access}, "mirrors": [mirror]}
    (world.folder / "mirrors.yaml").write_text(json.dumps(document))
    return world


@pytest.fixture(scope="module")
def served(world: World) -> Iterator[str]:
    fill(FolderStore(world.folder / "mirror"))
    tokens = FileTokens(world.folder / "tokens.json")
    write_hashes(tokens.path, Hashes(KEY, HASHES))
    with running(world, "--access", "tokens.json") as command:
        host = command.host()
        for name in REVOKED:
            tokens.remove(name)
        yield host


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("worker")
    secrets = {secret_name(name): hashed for name, hashed in HASHES.items() if name not in REVOKED}
    with start_r2_simulator(folder, texts={"ACCESS": access_json(ACCESS), "ACCESS_KEY": KEY, **secrets}) as buckets:
        fill(bucket_store(buckets[0]))
        with start_passing_on(folder / "front", worker_host(buckets[0])) as host:
            yield host


def login(world: World, host: str, client: str, kind: str, folder: Path) -> Login:
    """The login of a kind, with its pull secret in a file as clients read it."""
    name = name_of(client, kind)
    token = "r2m_wrong" if kind == "wrong" else TOKENS[name]
    mirrors = load_mirrors(world.folder / "mirrors.yaml", {})
    store = Folder(world.folder / "mirror", f"http://{host}")
    (file,) = pull_secret(replace(mirrors, store=store), name, Secret(token)).files
    config = YAML(typ="safe").load(file.content)["data"][".dockerconfigjson"]
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(base64.b64decode(config))
    return Login(host, name, token, folder)


def outcome(call: Callable[[Login], object], login: Login) -> str:
    try:
        call(login)
    except ClientRefused as error:
        return "refused" if REFUSED.search(str(error)) else str(error)
    return "done"


def tried(
    client: Client, world: World, hosts: Mapping[str, str], folder: Path
) -> dict[tuple[str, str], tuple[str, str]]:
    """The outcomes of a pull and of a login, by host and kind of token."""
    made = {
        (at, kind): login(world, host, client.name, kind, folder / at / kind)
        for at, host in hosts.items()
        for kind in KINDS
    }
    return {key: (outcome(client.pull, one), outcome(client.login, one)) for key, one in made.items()}


def test_each_client_gets_what_its_token_is_for(world: World, served: str, worker: str, tmp_path: Path) -> None:
    """One test of all clients, because the servers take longer to start than the clients to pull."""
    found = {}
    for name, start in STARTED.items():
        with start(tmp_path / name) as client:
            found[name] = tried(client, world, {"serve": served, "worker": worker}, tmp_path / name)
    refused, done = ("refused", "refused"), ("done", "done")
    expected = {"right": done, "wrong": refused, "other": ("refused", "done"), "revoked": refused, "expired": refused}
    # containerd has no login, and pulls in the place of one.
    expected_of = {"containerd": {**expected, "other": refused}}
    assert found == {
        name: {(at, kind): expected_of.get(name, expected)[kind] for at in ("serve", "worker") for kind in KINDS}
        for name in STARTED
    }
