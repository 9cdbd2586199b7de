"""Docker Hub on loopback: a real registry that clients reach as https://registry-1.docker.io, through a proxy.

The proxy of `environ` takes CONNECT as any proxy does, but ends TLS itself, with a certificate that `environ` makes Go
programs believe, and passes the bytes on to a docker-registry of the tests. Nothing leaves the machine.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.parts.docker_registry import DockerRegistry, start_docker_registry
from tests.parts.http_server import Handler, serving
from tests.parts.process import missing

NAME = "registry-1.docker.io"


@dataclass(frozen=True)
class DockerHub:
    """`registry` is what stands behind the name; `connects` the hosts that clients asked the proxy for."""

    registry: DockerRegistry
    proxy: str
    ca_file: Path
    connects: list[str] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        """For a client that is to meet this Docker Hub."""
        return {"HTTPS_PROXY": self.proxy, "SSL_CERT_FILE": str(self.ca_file)}


@contextlib.contextmanager
def start_docker_hub(folder: Path) -> Iterator[DockerHub]:
    """Runs an empty Docker Hub whose files live in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    pem = _certificate(folder)
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(pem)
    connects: list[str] = []
    with (
        start_docker_registry(folder / "registry") as registry,
        serving(_proxy(registry, trust, connects)) as proxy,
    ):
        yield DockerHub(registry, proxy, pem, connects)


def _certificate(folder: Path) -> Path:
    """A certificate of Docker Hub's registry that signs itself, and its key, in one file."""
    program = shutil.which("openssl") or missing("openssl", "apt-get install openssl")
    path = folder / "hub.pem"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    command = [program, "req", *kind, *names, "-keyout", "-", "-out", "-"]
    path.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    return path


def _proxy(registry: DockerRegistry, trust: ssl.SSLContext, connects: list[str]) -> type[Handler]:
    class Proxy(Handler):
        def reply(self) -> None:
            connects.append(self.path)
            if self.path != f"{NAME}:443":
                self.send_error(403)
                return
            self.send_response(200)
            self.end_headers()
            host, _, port = registry.host.partition(":")
            with (
                contextlib.suppress(OSError),
                socket.create_connection((host, int(port))) as inner,
                trust.wrap_socket(self.connection, server_side=True) as outer,
            ):
                back = threading.Thread(target=_pass_on, args=(inner, outer), daemon=True)
                back.start()
                _pass_on(outer, inner)
                back.join()
            self.close_connection = True

        do_CONNECT = reply  # noqa: N815 the names that http.server calls

    return Proxy


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    """Until `source` ends; then `sink` is told so."""
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
