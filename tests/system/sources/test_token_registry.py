"""A real registry that requires a password, and one that requires tokens of a small, real token server."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from reconciler.errors import Denied
from reconciler.oci.spec import Digest
from reconciler.sources.config import RegistryConfig
from reconciler.sources.credentials import Credentials
from tests.parts.docker_registry import HTPASSWD, start_docker_registry
from tests.parts.http_server import Handler, serving
from tests.parts.images import Image, image, push
from tests.parts.process import missing
from tests.parts.skopeo import Skopeo

if TYPE_CHECKING:
    from reconciler.sources.repository import RegistrySource

USER = Credentials("user", "s3cret")
APP = image({"app": "1"})


def read_all(source: RegistrySource, one: Image) -> None:
    """Everything that a mirror asks a source for."""
    assert source.tags() == ("1",)
    root = source.resolve("1")
    assert str(root.digest) == one.digest
    assert source.manifest(root) == one.body
    for layer in json.loads(one.body)["layers"]:
        descriptor = type(root)(layer["mediaType"], Digest.parse(layer["digest"]), layer["size"])
        assert b"".join(source.blob(descriptor)) == one.blobs[layer["digest"]]


def test_a_registry_that_wants_a_password(tmp_path: Path, open_at: Callable[..., RegistrySource]) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    auth = {"auth": {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}}
    with start_docker_registry(tmp_path / "registry", auth) as registry:
        push(APP, registry.host, "team/app", "1", auth=("user", "s3cret"))
        source = open_at(registry.host, USER)
        read_all(source, APP)
        assert source.wants_login(Digest.parse(APP.digest)), "what it serves to a login, it refuses without one"
        for nobody in (None, Credentials("user", "wrong")):
            with pytest.raises(Denied, match="401"):
                open_at(registry.host, nobody).tags()


@pytest.mark.parametrize("namespace", ["", "/team", "/team/app"])
def test_a_login_that_skopeo_keeps(namespace: str, tmp_path: Path, open_with: Callable[..., RegistrySource]) -> None:
    """Where it does by default, for a registry or a namespace of it."""
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    auth = {"auth": {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}}
    with start_docker_registry(tmp_path / "registry", auth) as registry:
        push(APP, registry.host, "team/app", "1", auth=("user", "s3cret"))
        Skopeo(tmp_path)("login", "--username", "user", "--password", "s3cret", registry.host)
        kept = tmp_path / "containers" / "auth.json"
        document = json.loads(kept.read_text())
        document["auths"] = {f"{registry.host}{namespace}": document["auths"][registry.host]}
        kept.write_text(json.dumps(document))
        registries = {registry.host: RegistryConfig(plain_http=True)}
        environ = {"HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": str(tmp_path)}
        read_all(open_with(f"{registry.host}/team/app", registries, environ), APP)


def _openssl(*arguments: str, stdin: bytes = b"") -> bytes:
    program = shutil.which("openssl") or missing("openssl", "apt-get install openssl")
    return subprocess.run([program, *arguments], input=stdin, capture_output=True, check=True).stdout


def _base64url(body: bytes) -> str:
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


class TokenServer:
    """Gives pull tokens to anybody, and all that is asked for to the user, as the token specification says."""

    def __init__(self, folder: Path) -> None:
        self.key, self.certificate = folder / "key.pem", folder / "certificate.pem"
        self.asked: list[str] = []
        subject = ["-subj", "/CN=token server", "-days", "2"]
        paths = ["-keyout", str(self.key), "-out", str(self.certificate)]
        _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *paths)

    def token(self, service: str, scopes: list[str], user: str) -> str:
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            wanted = actions.split(",")
            access.append({"type": kind, "name": name, "actions": wanted if user else ["pull"]})
        certificate = "".join(self.certificate.read_text().splitlines()[1:-1])
        now = int(time.time())
        claims = {
            "iss": "tests",
            "sub": user,
            "aud": service,
            "exp": now + 300,
            "nbf": now - 10,
            "iat": now,
            "jti": "1",
        }
        header = {"typ": "JWT", "alg": "RS256", "x5c": [certificate]}
        parts = [_base64url(json.dumps(one).encode()) for one in (header, {**claims, "access": access})]
        signature = _openssl("dgst", "-sha256", "-sign", str(self.key), stdin=".".join(parts).encode())
        return ".".join([*parts, _base64url(signature)])


@contextlib.contextmanager
def giving(tokens: TokenServer) -> Iterator[str]:
    class Realm(Handler):
        def reply(self) -> None:
            tokens.asked.append(self.path)
            query = parse_qs(urlsplit(self.path).query)
            given = self.headers.get("Authorization", "")
            if given and given != "Basic " + base64.b64encode(b"user:s3cret").decode():
                self.send_response(401)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            token = tokens.token(query["service"][0], query.get("scope", []), "user" if given else "")
            body = json.dumps({"token": token, "expires_in": 300}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = reply  # noqa: N815 the names that http.server calls

    with serving(Realm) as url:
        yield f"{url}/token"


def test_a_registry_that_wants_tokens(tmp_path: Path, open_at: Callable[..., RegistrySource]) -> None:
    """Filled while it is open; then anybody may pull with a token, and wrong credentials get none."""
    tokens = TokenServer(tmp_path)
    with start_docker_registry(tmp_path / "registry") as filling:
        push(APP, filling.host, "team/app", "1")
    with giving(tokens) as realm:
        settings = {"realm": realm, "service": "tests", "issuer": "tests", "rootcertbundle": str(tokens.certificate)}
        with start_docker_registry(tmp_path / "registry", {"auth": {"token": settings}}) as registry:
            for who in (None, USER):
                tokens.asked.clear()
                source = open_at(registry.host, who)
                read_all(source, APP)
                assert len(tokens.asked) == 1, "one token serves every request of a repository"
                assert not source.wants_login(Digest.parse(APP.digest)), "anyone gets a token there"
            with pytest.raises(Denied, match=r"token server .* answered 401"):
                open_at(registry.host, Credentials("user", "wrong")).tags()
