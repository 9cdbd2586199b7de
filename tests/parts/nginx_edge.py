"""The edge in front of a public bucket, played by nginx as `r2mirror edge print` configures it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.edge.config import EdgeConfig
from reconciler.edge.proxies.nginx import nginx
from reconciler.edge.proxies.site import make_site
from reconciler.edge.rules import edge_rules
from tests.parts.docker_registry import Request, parse_access_log
from tests.parts.process import find_program, free_port, started

if TYPE_CHECKING:
    from reconciler.edge.rules import Rule

HOST = "127.0.0.1"
NO_CACHE = edge_rules(EdgeConfig("example.com", HOST, cache=False))
"""The rules of an edge that asks the bucket each time, so that a test sees at once what it changed there."""

_NGINX = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/client;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  include {folder}/site.conf;
}}
"""


@dataclass(frozen=True)
class Edge:
    """A running edge: what clients pull from."""

    host: str
    access_log: Path

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def requests(self) -> list[Request]:
        """Every request so far, oldest first, with the path that the client sent."""
        return parse_access_log(self.access_log.read_text())


@contextlib.contextmanager
def start_nginx_edge(folder: Path, bucket_url: str, rules: Sequence[Rule] = NO_CACHE) -> Iterator[Edge]:
    """Runs an edge in front of `bucket_url`, which serves `KEY` as `bucket_url/KEY` to anybody."""
    edge = new_edge(folder)
    cache = f"{folder}/cache" if any(rule.parameters.get("cache") for rule in rules) else ""
    with _nginx(folder, edge, nginx(rules, make_site(edge.url, bucket_url, cache))):
        yield edge


@contextlib.contextmanager
def start_passing_on(folder: Path, host: str) -> Iterator[str]:
    """Runs what passes all requests on to `host` as they are; yields its own host.

    For clients that try TLS first: it refuses that at once, as Cloudflare's edge and not its simulator does.
    """
    edge = new_edge(folder)
    site = f"location / {{ proxy_pass http://{host}; proxy_set_header Host $http_host; }}"
    with _nginx(folder, edge, f"server {{ listen {edge.host}; {site} }}"):
        yield edge.host


@contextlib.contextmanager
def _nginx(folder: Path, edge: Edge, site: str) -> Iterator[None]:
    program = find_program("nginx", "apt-get install nginx")
    (folder / "site.conf").write_text(site)
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder))
    with started([program, "-p", str(folder), "-c", str(config)], folder / "log", listens_at(edge.host)):
        yield


def new_edge(folder: Path) -> Edge:
    folder.mkdir(parents=True, exist_ok=True)
    return Edge(f"{HOST}:{free_port()}", folder / "access.log")


def listens_at(host: str) -> Callable[[], bool]:
    """Whether it listens, without a request that its log would have."""

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, int(host.rpartition(":")[2]))) == 0

    return listens
