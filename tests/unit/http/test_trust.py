"""Registries over https: which certificates are trusted, and redirects away from them."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import certifi
import pytest

from reconciler.errors import BadAnswer, Unreachable
from reconciler.http import speed, trust
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


def serve(pem: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return certificate(tmp_path, "own")


@pytest.fixture
def secure(own: Path) -> Iterator[LyingRegistry]:
    with start_lying_registry(serve(own)) as registry:
        registry.on(TAGS, Answer(body=b'{"tags": ["1"]}'))
        yield registry


def test_the_authority_of_ca_file_is_believed(
    secure: LyingRegistry, own: Path, open_at: Callable[..., RegistrySource]
) -> None:
    assert open_at(secure.host, None, RegistryConfig(ca_file=own)).tags() == ("1",)


def test_who_trickles_through_tls_is_given_up(
    secure: LyingRegistry, own: Path, open_at: Callable[..., RegistrySource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "WINDOW", 0.2)
    secure.on(TAGS, Answer(body=b'{"tags": ["1"]}' + b" " * 500, pause=0.01))
    with pytest.raises(Unreachable, match="less than 16384 bytes a second"):
        open_at(secure.host, None, RegistryConfig(ca_file=own)).tags()


def test_a_registry_on_this_machine_is_spoken_to_as_it_speaks(
    secure: LyingRegistry, lying: LyingRegistry, own: Path, open_at: Callable[..., RegistrySource]
) -> None:
    lying.on(TAGS, Answer(body=b'{"tags": ["2"]}'))
    assert open_at(lying.host, None, RegistryConfig()).tags() == ("2",)
    assert open_at(secure.host, None, RegistryConfig(ca_file=own)).tags() == ("1",)
    assert open_at(lying.host.replace("127.0.0.1", "localhost"), None, RegistryConfig()).tags() == ("2",)


@pytest.mark.parametrize(
    "answer", [b"\x15\x03\x01\x00\x02\x02\x46", b"", b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an"]
)
def test_what_ends_plain_http_speaks_tls(
    answer: bytes, lying: LyingRegistry, open_at: Callable[..., RegistrySource]
) -> None:
    lying.on("GET /v2/", Answer(raw=answer, drop=not answer))
    assert open_at(lying.host, None, RegistryConfig()).registry.url.startswith("https://")


def test_a_loopback_host_where_nothing_listens_is_said_to_be_that(open_at: Callable[..., RegistrySource]) -> None:
    with pytest.raises(Unreachable, match=r"cannot connect to 127\.0\.0\.1:9.* check the name and the network"):
        open_at("127.0.0.1:9", None, RegistryConfig()).tags()


def test_the_wrong_scheme_is_said_at_once(
    secure: LyingRegistry, own: Path, lying: LyingRegistry, open_at: Callable[..., RegistrySource], sleeps: list[float]
) -> None:
    with pytest.raises(Unreachable, match=r"after 1 attempt: .*set plain_http for it under registries"):
        open_at("127.0.0.1:" + lying.host.rpartition(":")[2], None, RegistryConfig(plain_http=False)).tags()
    for request in (TAGS, TAGS.partition("?")[0]):
        lying.on(request, Answer(400, body=b"Client sent an HTTP request to an HTTPS server.\n"))
    with pytest.raises(BadAnswer, match=r"HTTPS server.*remove its plain_http"):
        open_at(lying.host).tags()
    lying.on(TAGS, Answer(raw=b"\x15\x03\x01\x00\x02\x02\x46"))
    with pytest.raises(Unreachable, match="does not answer with http; if it speaks https, remove its plain_http"):
        open_at(lying.host).tags()
    assert not sleeps


def test_any_other_host_is_not(
    secure: LyingRegistry, tmp_path: Path, open_at: Callable[..., RegistrySource], sleeps: list[float]
) -> None:
    for config in (RegistryConfig(), RegistryConfig(ca_file=certificate(tmp_path, "other"))):
        with pytest.raises(Unreachable, match=r"CERTIFICATE_VERIFY_FAILED.*ca_file"):
            open_at(secure.host, None, config).tags()
    assert not secure.asked


def test_the_public_authorities_still_are(
    secure: LyingRegistry,
    own: Path,
    tmp_path: Path,
    open_at: Callable[..., RegistrySource],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A registry of one's own may redirect to a public CDN; SSL_CERT_FILE stands for the public authorities."""
    public = certificate(tmp_path, "public")
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    with start_lying_registry(serve(public)) as cdn:
        cdn.on("GET /cdn", Answer(body=b"blob"))
        secure.on(GET_BLOB, Answer(307, {"Location": f"{cdn.url}/cdn"}))
        assert b"".join(open_at(secure.host, None, RegistryConfig(ca_file=own)).blob(BLOB)) == b"blob"


def test_a_redirect_to_plain_http_is_refused(
    secure: LyingRegistry, lying: LyingRegistry, own: Path, open_at: Callable[..., RegistrySource]
) -> None:
    secure.on(GET_BLOB, Answer(307, {"Location": f"{lying.url}/cdn"}))
    with pytest.raises(BadAnswer, match="from https to plain http"):
        list(open_at(secure.host, None, RegistryConfig(ca_file=own)).blob(BLOB))
    assert not lying.asked


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_ca_file_that_is_none_is_named(
    content: bytes | None, tmp_path: Path, open_at: Callable[..., RegistrySource]
) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unreachable, match=r"authority\.pem cannot be used"):
        open_at("registry.example.com", None, RegistryConfig(ca_file=path))


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_public_authorities_that_are_none_are_named(
    content: bytes | None,
    lying: LyingRegistry,
    tmp_path: Path,
    open_at: Callable[..., RegistrySource],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "public.pem"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(Unreachable, match=r"SSL_CERT_FILE: .*public\.pem cannot be used"):
        open_at("registry.example.com", None, RegistryConfig()).tags()
    lying.on("GET /v2/team/app/tags/list?n=1000", Answer(body=b'{"name":"team/app","tags":["1"]}'))
    assert open_at(lying.host).tags() == ("1",), "plain HTTP needs none"


def test_what_the_system_trusts_is_believed_beside_the_public_authorities(
    secure: LyingRegistry,
    own: Path,
    tmp_path: Path,
    open_at: Callable[..., RegistrySource],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bundle = tmp_path / "ca-certificates.crt"
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setattr(trust, "_shared", trust._load)
    monkeypatch.setattr(trust, "BUNDLES", (str(tmp_path / "not-there"), str(bundle)))
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: SimpleNamespace(cafile=None))
    bundle.write_bytes(own.read_bytes())
    assert open_at(secure.host, None, RegistryConfig()).tags() == ("1",)
    assert len(trust.shared_trust().get_ca_certs()) > 100, "and the public ones"
    assert trust.bundle({}) is None, "a file without the public authorities is not enough by itself"
    bundle.write_bytes(own.read_bytes() + Path(certifi.where()).read_bytes())
    assert trust.bundle({}) == str(bundle)
    assert trust.bundle({"SSL_CERT_FILE": "x"}) == "x"
    bundle.write_text("broken")
    with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
        open_at(secure.host, None, RegistryConfig()).tags()
    assert "cannot be used" in caplog.text


def test_a_folder_of_authorities_that_is_not_there_is_named(
    tmp_path: Path, open_at: Callable[..., RegistrySource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "nothing"))
    with pytest.raises(Unreachable, match=r"SSL_CERT_DIR: .*nothing cannot be used"):
        open_at("registry.example.com", None, RegistryConfig()).tags()
