"""Helm charts and the index of a chart repository, as `helm package` and `helm repo index` write them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.parts.process import find_program, free_port, running

PACKAGED = 1_700_000_000
"""The time in every .tgz, 2023-11-14T22:13:20Z."""


def chart_yaml(name: str, version: str, **more: Any) -> bytes:
    return json.dumps({"apiVersion": "v2", "name": name, "version": version, **more}).encode()  # JSON is YAML


def archive(name: str, files: Mapping[str, bytes], mtime: int = PACKAGED) -> bytes:
    """A .tgz with these files below a folder `name`."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as packed:
        for path, content in files.items():
            member = tarfile.TarInfo(f"{name}/{path}")
            member.size, member.mtime = len(content), mtime
            packed.addfile(member, io.BytesIO(content))
    # Without a time the bytes are always the same, and so are the names of tests that have them as a parameter.
    return gzip.compress(body.getvalue(), mtime=0)


def chart(name: str, version: str, **more: Any) -> bytes:
    """A chart as a .tgz."""
    return archive(name, {"Chart.yaml": chart_yaml(name, version, **more), "values.yaml": b"replicas: 1\n"})


def provenance(packed: bytes, name: str, version: str) -> bytes:
    """A provenance file, with a signature of nobody."""
    digest = hashlib.sha256(packed).hexdigest()
    files = f"...\nfiles:\n  {name}-{version}.tgz: sha256:{digest}\n"
    return f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: {name}\n{files}-----BEGIN PGP SIGNATURE-----\n".encode()


def write_repository(folder: Path, charts: Mapping[tuple[str, str], bytes], base: str = "") -> None:
    """Writes a chart repository; the URLs in its index begin with `base`."""
    entries: dict[str, list[dict[str, Any]]] = {}
    for (name, version), packed in charts.items():
        file = f"{name}-{version}.tgz"
        (folder / file).write_bytes(packed)
        entry = {"apiVersion": "v2", "name": name, "version": version, "urls": [f"{base}{file}"]}
        entries.setdefault(name, []).insert(0, {**entry, "digest": hashlib.sha256(packed).hexdigest()})
    (folder / "index.yaml").write_text(json.dumps({"apiVersion": "v1", "entries": entries}))


_CONFIG = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/t1;
  proxy_temp_path {folder}/t2;
  fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4;
  scgi_temp_path {folder}/t5;
  server {{
    listen 127.0.0.1:{port};
    root {root};
    location = /ready {{ access_log off; return 204; }}
    location /private/ {{ auth_basic charts; auth_basic_user_file {folder}/users; }}
    location /moved/ {{ rewrite ^/moved/(.*)$ /$1 redirect; }}
  }}
}}
"""


@contextmanager
def serving_charts(folder: Path, root: Path) -> Iterator[str]:
    """Serves a folder with nginx, and yields its host: `/private/` with the login `me:secret`, `/moved/` elsewhere."""
    folder.mkdir()
    port = free_port()
    (folder / "users").write_text("me:{PLAIN}secret\n")
    (folder / "nginx.conf").write_text(_CONFIG.format(folder=folder, root=root, port=port))
    command = [find_program("nginx", "apt-get install nginx"), "-c", str(folder / "nginx.conf")]
    with running(command, folder / "log", f"http://127.0.0.1:{port}/ready", [204]):
        yield f"127.0.0.1:{port}"
