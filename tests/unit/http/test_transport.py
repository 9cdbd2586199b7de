"""Registries behind proxies: each kind that the environment may name, and the error where one cannot be used."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import Unreachable
from reconciler.sources.config import RegistryConfig
from tests.parts.scripted_server import Answer

if TYPE_CHECKING:
    from reconciler.sources.repository import RegistrySource
    from tests.parts.lying_registry import LyingRegistry

LIST = "/v2/team/app/tags/list?n=1000"
TAGS = Answer(body=b'{"tags": ["1"]}')


@pytest.fixture(autouse=True)
def no_proxies_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class _Socks(socketserver.BaseRequestHandler):
    """SOCKS 5 as RFC 1928 and 1929 have it, as far as a CONNECT needs; whatever is asked for, `target` is meant."""

    target: tuple[str, int]
    asked: list[bytes]

    def handle(self) -> None:
        methods = self.request.recv(300)[2:]
        self.request.sendall(b"\x05\x02" if b"\x02" in methods else b"\x05\x00")
        if b"\x02" in methods:
            self.asked.append(self.request.recv(600))
            self.request.sendall(b"\x01\x00")
        self.asked.append(self.request.recv(300))
        self.request.sendall(b"\x05\x00\x00\x01" + bytes(6))
        with socket.create_connection(self.target) as there:
            there.sendall(self.request.recv(65536))
            while piece := there.recv(65536):
                self.request.sendall(piece)


@contextmanager
def socks_proxy(target: str, asked: list[bytes]) -> Iterator[str]:
    host, _, port = target.partition(":")
    handler = type("Handler", (_Socks,), {"target": (host, int(port)), "asked": asked})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_an_http_proxy_is_asked_with_its_login(
    lying: LyingRegistry, open_at: Callable[..., RegistrySource], monkeypatch: pytest.MonkeyPatch
) -> None:
    lying.on(f"GET http://registry.example.com{LIST}", TAGS)
    monkeypatch.setenv("HTTP_PROXY", f"http://me:p%3Aw@{lying.host}")
    assert open_at("registry.example.com").tags() == ("1",)
    assert lying.asked[0].headers["proxy-authorization"] == "Basic bWU6cDp3"
    monkeypatch.setenv("no_proxy", "example.com")
    with pytest.raises(Unreachable, match=r"cannot connect to registry\.example\.com"):
        open_at("registry.example.com").tags()
    assert len(lying.asked) == 1


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks"])
def test_a_socks_proxy_is_told_the_name(
    scheme: str, lying: LyingRegistry, open_at: Callable[..., RegistrySource], monkeypatch: pytest.MonkeyPatch
) -> None:
    lying.on(f"GET {LIST}", Answer(headers={"Connection": "close"}, body=TAGS.body))
    asked: list[bytes] = []
    with socks_proxy(lying.host, asked) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://me:secret@{proxy}")
        assert open_at("registry.example.com").tags() == ("1",)
    assert asked[0] == b"\x01\x02me\x06secret"
    assert b"registry.example.com" in asked[1]


@pytest.mark.parametrize("url", ["socks4://127.0.0.1:1", "http://[", "nonsense://x"])
def test_a_proxy_that_cannot_be_used_is_an_error_not_a_crash(
    url: str, open_at: Callable[..., RegistrySource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", url)
    with pytest.raises(Unreachable, match="ALL_PROXY"):
        open_at("registry.example.com").tags()


def test_a_proxy_that_refuses_is_named(
    lying: LyingRegistry, open_at: Callable[..., RegistrySource], monkeypatch: pytest.MonkeyPatch
) -> None:
    lying.on("CONNECT registry.example.com:443", Answer(407, {"Proxy-Authenticate": "Basic"}))
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@{lying.host}")
    with pytest.raises(Unreachable, match=rf"the proxy http://{lying.host} .*407") as caught:
        open_at("registry.example.com", None, RegistryConfig()).tags()
    assert "secret" not in str(caught.value)
