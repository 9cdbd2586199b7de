"""A real registry behind a real nginx that requires a client certificate."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.parts.certificates import certificate
from tests.parts.docker_registry import start_docker_registry
from tests.parts.images import image, push
from tests.parts.process import find_program, free_port, running
from tests.world import World

APP = image({"app": "1"})
CONFIG = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/client;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{ready}; return 204; }}
  server {{
    listen {host} ssl;
    ssl_certificate {server};
    ssl_certificate_key {server};
    ssl_client_certificate {client};
    ssl_verify_client on;
    location / {{ proxy_pass {registry}; proxy_set_header Host $http_host; }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path, registry: str, server: Path, client: Path) -> Iterator[str]:
    """Yields the host of an nginx that passes requests to `registry` from clients with the certificate `client`."""
    program = find_program("nginx", "apt-get install nginx")
    host, ready = f"127.0.0.1:{free_port()}", free_port()
    folder.mkdir()
    config = folder / "nginx.conf"
    config.write_text(
        CONFIG.format(folder=folder, host=host, ready=ready, server=server, client=client, registry=registry)
    )
    command = [program, "-p", str(folder), "-c", str(config)]
    with running(command, folder / "log", f"http://127.0.0.1:{ready}/", ready=(204,)):
        yield host


def refuses_strangers(host: str) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        urllib.request.urlopen(f"https://{host}/v2/", context=context).close()
    except urllib.error.HTTPError as error:
        return error.code == 400
    return False


@pytest.mark.parametrize("has_certificate", [True, False])
def test_mutual_tls_through_nginx(has_certificate: bool, tmp_path: Path) -> None:
    server, ours = certificate(tmp_path, "server"), certificate(tmp_path, "ours")
    with (
        start_docker_registry(tmp_path / "registry") as registry,
        nginx(tmp_path / "nginx", registry.url, server, ours) as host,
    ):
        assert refuses_strangers(host)
        push(APP, registry.host, "team/app", "1")
        keys = {"client_cert": str(ours), "client_key": str(ours)} if has_certificate else {}
        registries = {host: {"ca_file": str(server), "plain_http": False, **keys}}
        world = World(tmp_path, {"type": "file", "path": "./mirror"}, registries)
        world.mirrors({"source": f"{host}/team/app", "tags": ["1"]})
        if has_certificate:
            world.apply()
            assert (tmp_path / f"mirror/v2/team/app/manifests/{APP.digest}").read_bytes() == APP.body
        else:
            done = world.run("apply", "--yes", code=1)
            assert "requires a client certificate" in done.stdout + done.stderr
            assert "client_cert and client_key" in done.stdout + done.stderr
