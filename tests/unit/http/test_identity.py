"""Registries that require a client certificate: who sees it, and what is wrong with the files that hold it."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import MirrorsInvalid, Unreachable
from reconciler.http.identity import ClientIdentity, wrong_file
from reconciler.mirrors.load import load_mirrors
from reconciler.oci.spec import Descriptor, Digest
from reconciler.sources.config import RegistryConfig
from tests.parts.certificates import certificate
from tests.parts.lying_registry import start_lying_registry
from tests.parts.scripted_server import Answer

if TYPE_CHECKING:
    from reconciler.sources.repository import RegistrySource
    from tests.parts.lying_registry import LyingRegistry

TAGS = "GET /v2/team/app/tags/list?n=1000"
BLOB = Descriptor("a/b", Digest.of(b"blob"), 4)
GET_BLOB = f"GET /v2/team/app/blobs/{BLOB.digest}"


@pytest.fixture
def server(tmp_path: Path) -> Path:
    return certificate(tmp_path, "server")


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return certificate(tmp_path, "ours")


def strict(server: Path, trusted: Path) -> ssl.SSLContext:
    """TLS of a server that speaks only to clients with the trusted certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(trusted)
    return context


@pytest.fixture
def mutual(server: Path, ours: Path) -> Iterator[LyingRegistry]:
    with start_lying_registry(strict(server, ours)) as registry:
        registry.on(TAGS, Answer(body=b'{"tags": ["1"]}'))
        yield registry


def test_a_registry_that_requires_our_certificate(
    mutual: LyingRegistry, server: Path, ours: Path, open_at: Callable[..., RegistrySource]
) -> None:
    config = RegistryConfig(ca_file=server, client_cert=ours, client_key=ours)
    assert open_at(mutual.host, None, config).tags() == ("1",)


@pytest.mark.parametrize("has_another", [True, False])
def test_the_keys_to_set_are_named_when_it_is_missing_or_refused(
    has_another: bool,
    mutual: LyingRegistry,
    server: Path,
    tmp_path: Path,
    open_at: Callable[..., RegistrySource],
    sleeps: list[float],
) -> None:
    other = certificate(tmp_path, "other") if has_another else None
    config = RegistryConfig(plain_http=False, ca_file=server, client_cert=other, client_key=other)
    with pytest.raises(
        Unreachable, match=r"requires a client certificate that it trusts: .*client_cert and client_key"
    ):
        open_at(mutual.host, None, config).tags()
    assert not sleeps, "a retry cannot help"


def test_a_host_that_it_redirects_to_does_not_see_it(
    mutual: LyingRegistry, server: Path, ours: Path, open_at: Callable[..., RegistrySource]
) -> None:
    config = RegistryConfig(ca_file=server, client_cert=ours, client_key=ours)
    with start_lying_registry(strict(server, ours)) as storage:
        storage.on("GET /blob", Answer(body=b"blob"))
        mutual.on(GET_BLOB, Answer(307, {"Location": f"{storage.url}/blob"}))
        with pytest.raises(Unreachable, match=f"{storage.host}.* requires a client certificate"):
            list(open_at(mutual.host, None, config).blob(BLOB))
        assert not storage.asked


def encrypted(folder: Path, pem: Path) -> Path:
    path = folder / "encrypted.key"
    command = ["openssl", "pkey", "-in", str(pem), "-aes256", "-passout", "pass:secret", "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def test_what_is_wrong_with_the_files(tmp_path: Path, ours: Path) -> None:
    other = certificate(tmp_path, "other")
    text = tmp_path / "text"
    text.write_text("no certificate, PASSWORD=s3cret")
    gone = tmp_path / "gone"
    cases = [
        (gone, ours, "client_cert", "No such file"),
        (ours, gone, "client_key", "No such file"),
        (ours, tmp_path, "client_key", "it is not a file"),
        (text, ours, "client_cert", "does not contain a certificate in PEM"),
        (ours, text, "client_key", "does not contain a private key in PEM"),
        (ours, other, "client_key", "is not the key of the certificate"),
        (ours, encrypted(tmp_path, ours), "client_key", "is encrypted; decrypt it"),
    ]
    for cert, key, named, why in cases:
        wrong = wrong_file(ClientIdentity(cert, key))
        assert wrong, (named, why)
        assert (wrong.key, why in wrong.why) == (named, True), wrong
        assert "s3cret" not in wrong.why
    assert wrong_file(ClientIdentity(ours, ours)) is None


FILE = """\
version: 1
store: {type: file, path: ./mirror}
registries:
  registry.example.com:
    client_cert: %s
    client_key: client.key
mirrors: [{source: registry.example.com/a, tags: [b]}]
"""


def test_files_that_cannot_be_used_are_problems_with_their_place(tmp_path: Path, ours: Path) -> None:
    file = tmp_path / "mirrors.yaml"
    file.write_text(FILE % ours.name)
    (tmp_path / "client.key").write_text("x")
    environs: tuple[dict[str, str] | None, ...] = ({}, None)
    for environ in environs:
        with pytest.raises(MirrorsInvalid) as raised:
            load_mirrors(file, environ)
        (problem,) = raised.value.problems
        assert str(problem).startswith(f"{file}:6:17: registries.registry.example.com.client_key: ")
        assert "does not contain a private key in PEM" in str(problem)
    (tmp_path / "client.key").unlink()
    # A key is a secret, which the place where a file is reviewed does not have.
    config = load_mirrors(file, None).registries["registry.example.com"]
    assert (config.client_cert, config.client_key) == (ours, tmp_path / "client.key")
    with pytest.raises(MirrorsInvalid, match="No such file"):
        load_mirrors(file, {})


def test_a_certificate_needs_tls(tmp_path: Path) -> None:
    file = tmp_path / "mirrors.yaml"
    file.write_text(FILE.replace("client_key: client.key", "client_key: client.key\n    plain_http: true") % "x.pem")
    with pytest.raises(MirrorsInvalid, match="client_cert: needs TLS; remove it, or plain_http"):
        load_mirrors(file, None)
