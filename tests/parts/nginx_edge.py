"""Cloudflare's edge in front of a public bucket, played by nginx: read-only, and `/v2/` is sent to `v2/_ping`."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.parts.docker_registry import Request, parse_access_log
from tests.parts.process import find_program, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONFIG = """\
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
  server {{
    listen {host};
    location = /ready {{ access_log off; return 204; }}
    location / {{
      limit_except GET HEAD {{ deny all; }}
      rewrite ^/v2/$ /v2/_ping;
      proxy_pass {bucket_url}$uri;
    }}
  }}
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
def start_nginx_edge(folder: Path, bucket_url: str) -> Iterator[Edge]:
    """Runs an edge in front of `bucket_url`, which serves `KEY` as `bucket_url/KEY` to anybody."""
    nginx = find_program("nginx", "apt-get install nginx")
    folder.mkdir(parents=True, exist_ok=True)
    edge = Edge(f"127.0.0.1:{free_port()}", folder / "access.log")
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, host=edge.host, bucket_url=bucket_url))
    with running([nginx, "-p", str(folder), "-c", str(config)], folder / "log", f"{edge.url}/ready", ready=(204,)):
        yield edge
