"""A real source registry: CNCF distribution, as Debian's docker-registry packages it."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.parts.process import find_program, free_port, running

_ACCESS = re.compile(
    r'^\S+ - \S+ \[[^\]]+\] "(?P<method>[A-Z]+) (?P<path>\S+) [^"]*" (?P<status>\d{3}) (?P<size>\d+)', re.MULTILINE
)


@dataclass(frozen=True)
class Request:
    """One line of an access log; `path` includes the query, `size` is the bytes of the answer's body."""

    method: str
    path: str
    status: int
    size: int = field(default=0, compare=False)


@dataclass(frozen=True)
class DockerRegistry:
    """A running registry. `data` is its storage folder, `log` what it prints."""

    host: str
    data: Path
    log: Path

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def requests(self) -> list[Request]:
        """Every request so far that has been answered, oldest first, the readiness check included."""
        return parse_access_log(self.log.read_text())


def parse_access_log(text: str) -> list[Request]:
    """The requests in a log in Apache's format, other lines left out."""
    return [
        Request(line["method"], line["path"], int(line["status"]), int(line["size"])) for line in _ACCESS.finditer(text)
    ]


@contextlib.contextmanager
def start_docker_registry(folder: Path, extra_config: Mapping[str, Any] | None = None) -> Iterator[DockerRegistry]:
    """Runs an empty registry whose files live in `folder`.

    `extra_config` adds top-level keys to its configuration, as in `{"auth": {"htpasswd": {...}}}`.
    """
    program = find_program("docker-registry", "apt-get install docker-registry")
    registry = DockerRegistry(f"127.0.0.1:{free_port()}", folder / "data", folder / "log")
    config = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(registry.data)}, "delete": {"enabled": True}},
        "http": {"addr": registry.host},
        "validation": {"manifests": {"urls": {"allow": ["^https?://"]}}},
        **(extra_config or {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    # JSON is YAML, so the tests need no YAML writer.
    (folder / "config.yml").write_text(json.dumps(config))
    command = [program, "serve", str(folder / "config.yml")]
    with running(command, registry.log, f"{registry.url}/v2/", ready=(200, 401)):
        yield registry


HTPASSWD = "user:$2b$12$LNX10ApHfO7mhdXusTgfUuhdtDJdx6/jin7/iB6FqVorw7KN9tBl6\n"
