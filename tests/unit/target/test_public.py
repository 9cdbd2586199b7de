"""A public address, read without credentials: what counts as an answer, and errors that say what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import pytest

from reconciler.errors import PublicError, UsageError
from reconciler.target import public
from reconciler.target.public import PublicBucket, base_url
from tests.parts.http_server import Handler, serving
from tests.parts.process import free_port

Scripted = tuple[int, dict[str, str], bytes]


class Server:
    """Answers as told by path, the last answer again and again, and remembers what was asked."""

    def __init__(self, url: str, answers: dict[str, list[Scripted]]) -> None:
        self.url = url
        self.answers = answers
        self.asked: list[tuple[str, str, Mapping[str, str]]] = []


@contextlib.contextmanager
def scripted(**answers: list[Scripted]) -> Iterator[Server]:
    class Scripted(Handler):
        def reply(self) -> None:
            path = self.path.removeprefix("/")
            server.asked.append((self.command, path, {k.lower(): v for k, v in self.headers.items()}))
            given = server.answers.get(path, [(404, {}, b"")])
            status, headers, body = given.pop(0) if len(given) > 1 else given[0]
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = reply  # noqa: N815 the names that http.server calls

    with serving(Scripted) as url:
        server = Server(url, answers)
        yield server


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public, "LONGEST_WAIT", 0.0)


def test_any_status_is_an_answer() -> None:
    with (
        scripted(a=[(200, {"X-One": "1"}, b"body")], b=[(403, {}, b"no")]) as server,
        PublicBucket(server.url) as bucket,
    ):
        found = bucket.get("a", 10)
        assert (found.status, found.body) == (200, b"body")
        assert (bucket.get("b", 10).status, bucket.get("c", 10).status) == (403, 404)


def test_requests_reveal_nothing_beyond_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R2_SECRET_ACCESS_KEY", "canary")
    with scripted(a=[(200, {"Set-Cookie": "x=canary"}, b"")]) as server, PublicBucket(server.url) as bucket:
        bucket.get("a", 10)
        bucket.get("a", 10)
    for _, _, headers in server.asked:
        assert "authorization" not in headers
        assert headers["accept-encoding"] == "identity"
        assert headers["user-agent"].startswith("r2mirror/")
        assert "canary" not in str({name: value for name, value in headers.items() if name != "cookie"})


def test_a_body_beyond_the_bound_is_an_error() -> None:
    with scripted(a=[(200, {}, b"x" * 11)]) as server, PublicBucket(server.url) as bucket:
        with pytest.raises(PublicError, match=r"/a: the answer has more than 10 bytes"):
            bucket.get("a", 10)
        assert bucket.get("a", 11).body == b"x" * 11


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_asked_again(status: int) -> None:
    busy: Scripted = (status, {}, b"")
    with scripted(a=[busy, busy, (200, {}, b"1")], b=[busy]) as server, PublicBucket(server.url) as bucket:
        assert bucket.get("a", 10).body == b"1"
        with pytest.raises(PublicError, match=f"answered {status} after 3 attempts; try again later"):
            bucket.get("b", 10)
        assert len(server.asked) == 6


def test_a_redirect_is_followed_at_home_and_nowhere_else() -> None:
    with scripted() as server, PublicBucket(server.url) as bucket:
        server.answers = {
            "a": [(302, {"Location": "/b"}, b"")],
            "b": [(200, {}, b"here")],
            "away": [(302, {"Location": "http://user:pw@localhost:1/x"}, b"")],
            "round": [(302, {"Location": "/round"}, b"")],
            "bad": [(302, {"Location": "http://["}, b"")],
        }
        found = bucket.get("a", 10)
        assert (found.url, found.body) == (f"{server.url}/b", b"here")
        with pytest.raises(PublicError, match="redirects to http://localhost:1, which is not followed"):
            bucket.get("away", 10)
        with pytest.raises(PublicError, match="redirects more than 3 times"):
            bucket.get("round", 10)
        with pytest.raises(PublicError, match=r"not understood|redirects to"):
            bucket.get("bad", 10)


@pytest.mark.parametrize(
    ("before", "after", "followed"),
    [
        ("http://a/x", "https://a/x", True),
        ("https://a/x", "http://a/x", False),
        ("https://a/x", "https://b/x", False),
        ("https://a/x", "https://a/y", True),
    ],
)
def test_from_http_to_https_and_not_back(before: str, after: str, followed: bool) -> None:
    with contextlib.nullcontext() if followed else pytest.raises(PublicError):
        public._check_redirect(before, after)


def test_a_connection_that_cannot_be_made_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with (
        PublicBucket(url) as bucket,
        pytest.raises(PublicError, match=f"{url}/a: cannot connect to .* after 3 attempts"),
    ):
        bucket.get("a", 10)


NOT_AN_ADDRESS = (
    *("", "cr.example.com", "ftp://x", "http://", "http://x:y", "http://x y", "http://[", "https://x:0"),
    *("https://u:p@x", "https://x?a", "https://x#a"),
)


@pytest.mark.parametrize("url", NOT_AN_ADDRESS)
def test_not_an_address(url: str) -> None:
    with pytest.raises(UsageError, match=r"mirror address|address of a mirror") as caught:
        base_url(url)
    assert "u:p" not in str(caught.value)


def test_an_address_may_end_in_a_slash_or_have_a_path() -> None:
    assert base_url("https://cr.example.com/") == "https://cr.example.com"
    assert base_url("http://127.0.0.1:8333/bucket") == "http://127.0.0.1:8333/bucket"
