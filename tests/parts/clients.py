"""Real clients that pull: the Docker daemon, containerd and podman, each with folders of its own. They need root."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.parts.process import find_program, missing, started


class ClientRefused(AssertionError):
    """A client did not do what it was asked; the text is what it printed."""


@dataclass(frozen=True)
class Docker:
    """A running Docker daemon: `docker("pull", "alpine")` returns what the command printed."""

    program: str
    socket: Path
    process: subprocess.Popen[bytes]
    daemon_json: Path

    def __call__(self, *arguments: str) -> str:
        return _run([self.program, "-H", f"unix://{self.socket}", *arguments], {"HOME": str(self.socket.parent)})

    def reload(self, daemon_json: str) -> None:
        """What `systemctl reload docker` does, with this daemon.json."""
        self.daemon_json.write_text(daemon_json)
        self.process.send_signal(signal.SIGHUP)
        wanted = [f"{url}/" for url in json.loads(daemon_json)["registry-mirrors"]]
        end = time.monotonic() + 30
        while self._mirrors() != wanted:
            assert self.process.poll() is None, f"the daemon ended with {self.process.returncode}"
            assert time.monotonic() < end, f"the daemon did not take over {daemon_json}"

    def _mirrors(self) -> list[str] | None:
        """None while the daemon does not answer, as for a moment when it reads its file anew."""
        try:
            return list(json.loads(self("info", "--format", "{{json .RegistryConfig.Mirrors}}")))
        except ClientRefused:
            return None

    def pull(self, image: str) -> str:
        """The digest that the daemon knows the image by."""
        printed = self("pull", image)
        (digest,) = re.findall(r"^Digest: (\S+)$", printed, re.MULTILINE)
        return str(digest)

    def remove_all(self) -> None:
        """Removes all images, so that the next pull fetches everything."""
        images = self("images", "--all", "--quiet").split()
        if images:
            self("image", "rm", "--force", *set(images))


@contextlib.contextmanager
def start_dockerd(folder: Path, environ: Mapping[str, str] | None = None) -> Iterator[Docker]:
    """Runs a daemon with an empty daemon.json. It makes no networks, and starts a containerd of its own."""
    dockerd = find_program("dockerd", "apt-get install docker.io")
    docker = _docker_beside(dockerd)
    _needs_root()
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "daemon.json"
    settings.write_text("{}")
    with tempfile.TemporaryDirectory(prefix="dockerd-") as short:
        # Sockets live in the short folder: the kernel takes paths of 107 characters.
        listens = Path(short) / "docker.sock"
        command = [
            dockerd, "--config-file", str(settings), "--data-root", str(folder / "data"),
            "--exec-root", f"{short}/exec", "--pidfile", f"{short}/pid", "-H", f"unix://{listens}",
            "--storage-driver", "vfs", "--iptables=false", "--ip6tables=false", "--bridge=none",
        ]  # fmt: skip
        with started(command, folder / "log", lambda: _listens(listens), environ) as process:
            daemon = Docker(docker, listens, process, settings)
            # It listens some time before it answers, and until then the signal of a reload would end it.
            daemon("version")
            yield daemon


def _docker_beside(dockerd: str) -> str:
    """The command line of the same package where there is one: newer ones may refuse to talk to an older daemon."""
    packaged = Path(dockerd).parents[1] / "bin" / "docker"
    return str(packaged) if packaged.exists() else find_program("docker", "apt-get install docker.io")


@dataclass(frozen=True)
class Containerd:
    """A running containerd: `ctr("images", "ls")` returns what the command printed.

    It is ctr 1 that asks registries itself; ctr 2 has the daemon do it, wants the manifests of all platforms unless
    told otherwise, and unpacks as the daemon's configuration says.
    """

    program: str
    socket: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def major(self) -> int:
        """ctr's version: 1 or 2."""
        found = re.search(r" v?(\d+)\.\d", _run([self.program, "--version"], {}))
        assert found, "ctr --version names no version"
        return int(found[1])

    def __call__(self, *arguments: str) -> str:
        return _run([self.program, "--address", str(self.socket), *arguments], self.environ)

    def pull(self, image: str, hosts: Path, *options: str) -> str:
        """The digest that containerd has the image by; `hosts` is a certs.d folder."""
        options = (*options, "--skip-metadata") if self.major >= 2 else options
        self("images", "pull", *options, "--hosts-dir", str(hosts), "--snapshotter", "native", image)
        (line,) = self("images", "ls", f"name=={image}").splitlines()[1:]
        return line.split()[2]

    def remove_all(self) -> None:
        images = self("images", "ls", "--quiet").split()
        if images:
            self("images", "rm", "--sync", *images)


@contextlib.contextmanager
def start_containerd(folder: Path, environ: Mapping[str, str] | None = None) -> Iterator[Containerd]:
    """Runs a containerd without its Kubernetes part; `environ` is for what pulls, which is ctr or the daemon."""
    containerd = find_program("containerd", "apt-get install containerd")
    ctr = find_program("ctr", "apt-get install containerd")
    _needs_root()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="containerd-") as short:
        client = Containerd(ctr, Path(short) / "containerd.sock", environ or {})
        config = [
            f"version = {client.major + 1}",
            f'root = "{folder}/root"',
            f'state = "{short}/state"',
            f"disabled_plugins = {json.dumps(_KUBERNETES)}",
            f'[grpc]\naddress = "{client.socket}"',
            *(_unpack() if client.major >= 2 else ()),
        ]
        (folder / "config.toml").write_text("\n".join(config))
        command = [containerd, "--config", str(folder / "config.toml")]
        with started(command, folder / "log", lambda: _listens(client.socket), environ):
            yield client


_KUBERNETES = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]


def _unpack() -> Iterator[str]:
    """What has the daemon unpack with the snapshotter that works in any folder."""
    yield '[[plugins."io.containerd.transfer.v1.local".unpack_config]]'
    yield f'platform = "linux/{"arm64" if platform.machine() == "aarch64" else "amd64"}"'
    yield 'snapshotter = "native"'
    yield 'differ = "walking"'


@dataclass(frozen=True)
class Podman:
    """podman with a storage of its own, and `registries_conf` as its only settings of registries."""

    folder: Path
    registries_conf: Path
    environ: Mapping[str, str]

    def __call__(self, *arguments: str) -> str:
        program = find_program("podman", "apt-get install podman")
        storage = ["--storage-driver", "vfs", "--root", f"{self.folder}/root", "--runroot", f"{self.folder}/run"]
        return _run([program, *storage, *arguments], self.environ)

    def pull(self, *images: str) -> dict[str, set[str]]:
        """The digests that podman knows each image by: of its index, and of the manifest for this platform."""
        self("pull", "--quiet", *images)
        return {
            image: {name.partition("@")[2] for name in found["RepoDigests"]}
            for image, found in zip(images, json.loads(self("image", "inspect", *images)), strict=True)
        }

    def remove_all(self) -> None:
        self("image", "rm", "--all", "--force")


@contextlib.contextmanager
def new_podman(registries_conf: str, environ: Mapping[str, str] | None = None) -> Iterator[Podman]:
    """There is nothing to start; its storage is removed at the end."""
    _needs_root()
    with tempfile.TemporaryDirectory(prefix="podman-") as short:
        # Podman takes folders of at most 50 characters.
        conf = Path(short) / "registries.conf"
        conf.write_text(registries_conf)
        settings = {"HOME": short, "CONTAINERS_REGISTRIES_CONF": str(conf)}
        yield Podman(Path(short), conf, {**settings, **(environ or {})})


def _listens(path: Path) -> bool:
    """Whether a server has opened its socket; what is asked before it is ready, it answers when it is."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(path))
        return True
    return False


def _needs_root() -> None:
    if os.geteuid() != 0:
        missing("root", "run the tests as root: dockerd, containerd and podman unpack layers as root here")


def _run(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """What the command prints. Raises `ClientRefused` with all of it where it fails."""
    environ = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", **environ}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=120, check=False)
    if done.returncode != 0:
        raise ClientRefused(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout
