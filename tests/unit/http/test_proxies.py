"""Which proxy a request goes through, by the environment."""

from __future__ import annotations

import pytest

from reconciler.errors import Unreachable
from reconciler.http.proxies import Proxy, read_proxies

PROXY = "http://proxy.example.com:3128"


@pytest.mark.parametrize(
    ("environ", "scheme", "expected"),
    [
        ({}, "https", None),
        ({"HTTPS_PROXY": PROXY}, "https", PROXY),
        ({"HTTPS_PROXY": PROXY}, "http", None),
        ({"http_proxy": PROXY}, "http", PROXY),
        ({"ALL_PROXY": PROXY}, "http", PROXY),
        ({"ALL_PROXY": PROXY, "HTTPS_PROXY": "http://other:1"}, "https", "http://other:1"),
        ({"https_proxy": "", "HTTPS_PROXY": PROXY}, "https", None),
        ({"https_proxy": "http://small:1", "HTTPS_PROXY": PROXY}, "https", "http://small:1"),
        ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, "http", None),
        ({"HTTPS_PROXY": "proxy:3128"}, "https", "http://proxy:3128"),
        ({"HTTPS_PROXY": "proxy"}, "https", "http://proxy:80"),
        ({"HTTPS_PROXY": "https://proxy"}, "https", "https://proxy:443"),
        ({"HTTPS_PROXY": " http://[::1]:8080/ "}, "https", "http://[::1]:8080"),
        ({"ALL_PROXY": "socks5://proxy"}, "https", "socks5://proxy:1080"),
        ({"ALL_PROXY": "socks5h://proxy:9"}, "https", "socks5h://proxy:9"),
        ({"ALL_PROXY": "socks://proxy:9"}, "https", "socks5://proxy:9"),
        ({"ALL_PROXY": "SOCKS5://PROXY:9"}, "https", "socks5://proxy:9"),
    ],
)
def test_the_proxy_of_a_scheme(environ: dict[str, str], scheme: str, expected: str | None) -> None:
    found = read_proxies(environ).of(scheme, "registry.example.com", None)
    assert (None if found is None else str(found)) == expected


def test_a_login_is_decoded_and_not_told() -> None:
    found = read_proxies({"HTTPS_PROXY": "http://me%40corp:p%3Aw@proxy:3128"}).of("https", "a.example", None)
    assert found == Proxy("http", "proxy", 3128, ("me@corp", "p:w"))
    assert "p:w" not in repr(found) + str(found)
    assert found.url == "http://me%40corp:p%3Aw@proxy:3128"


@pytest.mark.parametrize(
    "value",
    ["socks4://proxy:1", "ftp://proxy", "http://", "http://proxy:99999", "http://proxy:x", "http://a b", "://x"],
)
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable(value: str) -> None:
    with pytest.raises(Unreachable, match=r"all_proxy: .*correct the variable"):
        read_proxies({"all_proxy": value}).of("http", "a.example", None)


@pytest.mark.parametrize(
    ("exempt", "host", "port", "is_exempt"),
    [
        ("*", "a.example.com", None, True),
        ("example.com", "example.com", None, True),
        ("example.com", "a.b.example.com", None, True),
        ("example.com", "notexample.com", None, False),
        (".example.com", "a.example.com", None, True),
        (".example.com", "example.com", None, True),
        ("*.example.com", "a.example.com", None, True),
        ("EXAMPLE.com", "Example.COM", None, True),
        ("example.com.", "example.com", None, True),
        ("a.example, example.com", "example.com", None, True),
        ("a.example example.com", "example.com", None, True),
        ("example.com:5000", "example.com", 5000, True),
        ("example.com:5000", "example.com", 5001, False),
        ("example.com:443", "example.com", None, True),
        ("127.0.0.0/8", "127.0.0.1", 5000, True),
        ("10.0.0.0/8", "127.0.0.1", None, False),
        ("10.1.2.3/8", "10.9.9.9", None, True),
        ("127.0.0.1", "127.0.0.1", 5000, True),
        ("127.0.0.1:5000", "127.0.0.1", 5000, True),
        ("127.0.0.1:5000", "127.0.0.1", 5001, False),
        ("127.0.0.1", "127.0.0.10", None, False),
        ("::1", "::1", None, True),
        ("[::1]", "::1", None, True),
        ("[::1]:5000", "::1", 5000, True),
        ("fd00::/8", "fd00:0::1", None, True),
        ("[fd00::]/8", "fd00::1", None, True),
        ("fd00::/8", "10.0.0.1", None, False),
        ("10.0.0.0/8", "ten.example.com", None, False),
        ("localhost", "localhost", 5000, True),
        ("", "localhost", None, False),
        (",,", "localhost", None, False),
        (".", "localhost", None, False),
        ("1/2/3", "1.2.3.4", None, False),
    ],
)
def test_whom_no_proxy_is_for(exempt: str, host: str, port: int | None, is_exempt: bool) -> None:
    proxies = read_proxies({"HTTPS_PROXY": PROXY, "NO_PROXY": exempt})
    assert (proxies.of("https", host, port) is None) == is_exempt
