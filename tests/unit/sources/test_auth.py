"""Authentication at registries: how challenges are parsed, where credentials go, and where they never do."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import BadAnswer, Denied, LoginRefused
from reconciler.sources.auth import (
    DEFAULT_LIFETIME,
    Challenge,
    basic,
    check_realm,
    check_redirect,
    choose,
    named_scope,
    parse_challenges,
    parse_token,
    token_request,
)
from reconciler.sources.config import RegistryConfig
from reconciler.sources.credentials import Credentials
from reconciler.sources.repository import RegistrySource
from tests.parts.logins import Given
from tests.parts.scripted_server import Answer, Asked

if TYPE_CHECKING:
    from tests.parts.lying_registry import LyingRegistry

HUB = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull"'
USER = Credentials("user", "s3cret")
TAG_LIST = Answer(body=b'{"tags": ["1"]}')
TAGS = "GET /v2/team/app/tags/list?n=1000"


@pytest.mark.parametrize(
    ("headers", "challenges"),
    [
        ([], []),
        (["Basic"], [("basic", {})]),
        (['Basic realm="x"'], [("basic", {"realm": "x"})]),
        (
            [HUB],
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:a/b:pull",
                    },
                )
            ],
        ),
        (['BEARER Realm="https://a/t" , service=plain'], [("bearer", {"realm": "https://a/t", "service": "plain"})]),
        (['Bearer realm="a,b", Basic realm="c"'], [("bearer", {"realm": "a,b"}), ("basic", {"realm": "c"})]),
        (['Bearer realm="a"', "Basic realm=c"], [("bearer", {"realm": "a"}), ("basic", {"realm": "c"})]),
        ([r'Bearer realm="a\"b"'], [("bearer", {"realm": 'a"b'})]),
        (['Bearer realm="open'], [("bearer", {})]),
        ([" ,, "], []),
        (["\x00\xff"], []),
    ],
)
def test_what_a_challenge_says(headers: list[str], challenges: list[tuple[str, dict[str, str]]]) -> None:
    assert [(one.scheme, one.parameters) for one in parse_challenges(headers)] == challenges


@given(st.lists(st.text(max_size=60) | st.text('Bearer Basic=",\\ a', max_size=60)))
def test_no_header_is_too_odd(headers: list[str]) -> None:
    choose(parse_challenges(headers))


def test_a_token_is_chosen_before_a_password() -> None:
    assert choose(parse_challenges(["Basic realm=a, Bearer realm=b"])) == Challenge("bearer", {"realm": "b"})
    assert choose(parse_challenges(["Negotiate"])) is None


def test_what_the_realm_is_asked() -> None:
    (challenge,) = parse_challenges([HUB])
    anonymous = token_request(challenge, "repository:a/b:pull", None)
    assert anonymous.url == "https://auth.docker.io/token?service=registry.docker.io&scope=repository%3Aa%2Fb%3Apull"
    assert (anonymous.headers, anonymous.form) == ({}, None)
    known = token_request(challenge, "repository:a/b:pull", USER)
    assert known.url.endswith("&account=user")
    assert known.headers == {"Authorization": "Basic " + base64.b64encode(b"user:s3cret").decode()}
    by_identity = token_request(challenge, "s", Credentials("<token>", identity_token="t"))
    assert by_identity.url == "https://auth.docker.io/token"
    assert by_identity.form is not None
    assert "grant_type=refresh_token" in by_identity.form
    assert "refresh_token=t" in by_identity.form
    assert "s3cret" not in repr(known) + repr(USER) + repr(by_identity)


REALMS = [
    ("https://auth.docker.io/token", "https://registry-1.docker.io", True, True),
    ("https://ghcr.io/token", "https://ghcr.io", True, True),
    ("https://gitlab.com/jwt/auth", "https://registry.gitlab.com", True, True),
    ("https://auth.example.org/token", "https://registry.example.com", True, False),
    ("https://auth.example.org/token", "https://registry.example.com", False, True),
    ("http://auth.docker.io/token", "https://registry-1.docker.io", False, False),
    ("http://registry.internal/token", "http://registry.internal", True, True),
    ("http://other.internal/token", "http://registry.internal", True, False),
    ("http://127.0.0.1:5001/token", "http://127.0.0.1:5000", True, True),
    ("http://localhost/token", "http://127.0.0.1:5000", True, True),
    ("https://127.0.0.1/token", "https://registry.example.com", False, False),
    ("https://169.254.169.254/latest", "https://registry.example.com", False, False),
    ("https://10.0.0.1/token", "https://registry.example.com", False, False),
    ("https://10.0.0.1/token", "https://10.0.0.2", True, False),
    ("https://[::1]/token", "https://registry.example.com", False, False),
    ("https://user:x@ghcr.io/token", "https://ghcr.io", False, False),
    ("ftp://ghcr.io/token", "https://ghcr.io", False, False),
    ("", "https://ghcr.io", False, False),
    ("https://[::1", "https://ghcr.io", False, False),
    ("https://evil.com/token", "https://com", True, False),
    ("https://2130706433/token", "https://registry.example.com", False, False),
    ("https://0x7f.1/token", "https://registry.example.com", False, False),
    ("https://localhost./token", "https://registry.example.com", False, False),
    ("https://a.localhost/token", "https://registry.example.com", False, False),
    ("https://@ghcr.io/token", "https://ghcr.io", False, False),
    ("https://evil.com\\.ghcr.io/token", "https://ghcr.io", True, False),
    ("https://ghcr.io:99999/token", "https://ghcr.io", False, False),
    (f"https://{'a' * 64}.ghcr.io/token", "https://ghcr.io", False, False),
    # The public suffix list knows whose a name is; two labels do not.
    ("https://evil.co.uk/token", "https://registry.co.uk", True, False),
    ("https://auth.example.co.uk/token", "https://registry.example.co.uk", True, True),
    ("https://evil.github.io/token", "https://registry.github.io", True, False),
    ("https://auth/token", "https://registry", True, False),
    ("https://auth.a.s3.amazonaws.com/token", "https://b.s3.amazonaws.com", True, False),
    # Beside a registry that speaks plain http: the same owner's realm, and no other.
    ("http://gitlab.home.test/jwt/auth", "http://registry.home.test:5000", True, True),
    ("http://auth.example.org/token", "http://registry.example.com", False, False),
    ("http://10.0.0.6/token", "http://10.0.0.5:5000", False, False),
    # One label is a name of this network; so are the ends that no public name has.
    ("https://auth/token", "https://registry.example.com", False, False),
    ("https://auth.internal/token", "https://registry.example.com", False, False),
    ("https://metadata.google.internal/token", "https://registry.internal", False, False),
    ("https://a..ghcr.io/token", "https://ghcr.io", False, False),
]


@pytest.mark.parametrize(("realm", "registry", "has_credentials", "allowed"), REALMS)
def test_where_a_registry_may_send_us(realm: str, registry: str, has_credentials: bool, allowed: bool) -> None:
    with contextlib.nullcontext() if allowed else pytest.raises(Denied):
        check_realm(realm, registry, has_credentials=has_credentials)


@pytest.mark.parametrize(
    ("target", "registry", "allowed"),
    [
        ("https://cdn.example.net/x?signature=secret", "https://registry-1.docker.io", True),
        ("http://cdn.example.net/x?signature=secret", "https://registry-1.docker.io", False),
        ("http://cdn.example.net/x", "http://registry.internal", True),
        ("https://127.0.0.1/x", "https://registry-1.docker.io", False),
        ("https://169.254.169.254/x", "https://registry-1.docker.io", False),
        ("http://127.0.0.1:9/x", "http://127.0.0.1:5000", True),
        ("http://169.254.169.254/x", "http://127.0.0.1:5000", False),
        ("http://[fe80::1]/x", "http://10.0.0.1:5000", False),
        ("http://169.254.7.7/x", "http://169.254.7.7", True),
        ("file:///etc/passwd", "https://registry-1.docker.io", False),
        ("https://2852039166/latest", "https://registry-1.docker.io", False),
        ("https://[::ffff:127.0.0.1]/x", "https://registry-1.docker.io", False),
        ("https://[::ffff:a00:1]/x", "https://registry-1.docker.io", False),
        ("https://[::10.0.0.1]/x", "https://registry-1.docker.io", False),
        ("https://[64:ff9b::10.0.0.1]/x", "https://registry-1.docker.io", False),
        ("https://[64:ff9b::a9fe:a9fe]/x", "http://10.0.0.5", False),
        ("https://[64:ff9b:1::10.0.0.1]/x", "https://registry-1.docker.io", False),
        ("https://[2002:a00:1::1]/x", "https://registry-1.docker.io", False),
        ("https://[2002:a9fe:a9fe::1]/x", "http://10.0.0.5", False),
        ("https://[2001:470:1f0b::5efe:10.0.0.1]/x", "https://registry-1.docker.io", False),
        ("https://[2001:470:1f0b::200:5efe:a00:1]/x", "https://registry-1.docker.io", False),
        ("https://[2001:0:4136:e378:8000:63bf:f5ff:fffe]/x", "https://registry-1.docker.io", False),
        ("https://[fd00:ec2::254]/x", "http://10.0.0.5", False),
        ("https://100.100.100.200/x", "http://10.0.0.5", False),
        ("https://168.63.129.16/x", "https://registry-1.docker.io", False),
        ("http://metadata.google.internal/x", "http://10.0.0.5", False),
        ("https://224.0.0.1/x", "https://registry-1.docker.io", False),
        ("https://minio/x", "https://registry-1.docker.io", False),
        ("https://minio.local/x", "https://registry-1.docker.io", False),
        ("https://[64:ff9b::8.8.8.8]/x", "https://registry-1.docker.io", True),
        ("https://[2606:4700::6810:84e5]/x", "https://registry-1.docker.io", True),
        ("https://8.8.8.8/x", "https://registry-1.docker.io", True),
        ("http://minio/x", "http://registry:5000", True),
        ("https://LOCALHOST/x", "https://registry-1.docker.io", False),
        ("https://cdn.example.net:x/x", "https://registry-1.docker.io", False),
        ("http://me:secret@cdn.example.net/x", "https://registry-1.docker.io", False),
        ("ftp://me:secret@cdn.example.net/x#secret", "https://registry-1.docker.io", False),
    ],
)
def test_where_a_registry_may_redirect_us(target: str, registry: str, allowed: bool) -> None:
    if allowed:
        check_redirect(target, registry)
        return
    with pytest.raises(BadAnswer) as caught:
        check_redirect(target, registry)
    assert "secret" not in str(caught.value)


WAYS = [
    (["10.0.0.5"], "https://10.0.0.5/x", True),
    (["10.0.0.5:9000"], "https://10.0.0.5:9000/x", True),
    (["10.0.0.5:9000"], "https://10.0.0.5/x", False),
    (["10.0.0.0/8"], "https://10.9.9.9:9000/x", True),
    (["10.0.0.0/8"], "https://192.168.0.1/x", False),
    (["10.0.0.0/8"], "http://10.9.9.9/x", False),
    (["http://10.0.0.5"], "http://10.0.0.5/x", True),
    (["http://10.0.0.5"], "http://10.0.0.6/x", False),
    (["10.0.0.5"], "http://10.0.0.5/x", False),
    (["minio"], "https://minio/x", True),
    (["http://cdn.example.net"], "http://cdn.example.net/x", True),
    (["[fd00::5]:9000"], "https://[fd00::5]:9000/x", True),
    (["0.0.0.0/0"], "https://169.254.169.254/x", False),
    (["::/0"], "https://[fd00:ec2::254]/x", False),
    (["169.254.169.254"], "https://169.254.169.254/x", True),
]


@pytest.mark.parametrize(("places", "url", "allowed"), WAYS)
def test_what_mirrors_yaml_declares_is_allowed_and_the_error_names_the_key(
    places: list[str], url: str, allowed: bool
) -> None:
    registry = "https://registry.example.com"
    if allowed:
        check_redirect(url, registry, places=places)
        check_realm(url, registry, has_credentials=True, places=places)
        return
    with pytest.raises(BadAnswer, match=r"add \S+ to redirects_to under registries.registry.example.com"):
        check_redirect(url, registry, places=places)
    with pytest.raises(Denied, match=r"add \S+ to token_servers under registries.registry.example.com"):
        check_realm(url, registry, has_credentials=True, places=places)


def test_what_the_error_says_to_add_lifts_it() -> None:
    """For each way to be refused, until nothing is left."""
    for check, error in ((check_redirect, BadAnswer), (partial(check_realm, has_credentials=True), Denied)):
        for url in (
            "http://10.0.0.5:9000/x",
            "https://10.0.0.5/x",
            "http://[fd00::5]:81/x",
            "http://other.example.org/x",
        ):
            with pytest.raises(error) as caught:
                check(url, "https://registry.example.com")
            advice = re.search(r"add (\S+) to", str(caught.value))
            assert advice
            check(url, "https://registry.example.com", places=[advice[1]])


def test_a_registry_inside_the_network_may_send_us_inside_but_not_to_the_cloud_s_secrets() -> None:
    registry = "https://registry.example.com"
    check_redirect("https://10.0.0.5/x", registry, is_inside=True)
    check_realm("https://10.0.0.5/token", registry, has_credentials=False, is_inside=True)
    for url in ("https://169.254.169.254/x", "https://[fd00:ec2::254]/x", "https://metadata.google.internal/x"):
        with pytest.raises(BadAnswer):
            check_redirect(url, registry, is_inside=True)
        with pytest.raises(Denied):
            check_realm(url, registry, has_credentials=False, is_inside=True)


@pytest.mark.parametrize(
    ("scope", "named"),
    [
        ("repository:other/app:pull", "repository:other/app:pull"),
        ("repository:other/app:pull,push,delete", "repository:other/app:pull"),
        ("repository:other/app:*", "repository:other/app:pull"),
        ("registry:catalog:* repository:other/app:pull", "repository:other/app:pull"),
        ("repository:other/app:push", None),
        ("registry:catalog:*", None),
        ("", None),
        ("repository:a&x=b:pull", None),
    ],
)
def test_the_scope_that_a_challenge_names(scope: str, named: str | None) -> None:
    assert named_scope(Challenge("bearer", {"scope": scope}), "repository:ours:pull") == named


@pytest.mark.parametrize(
    ("document", "until"),
    [
        ({"token": "t"}, DEFAULT_LIFETIME - 10),
        ({"access_token": "t", "expires_in": 300}, 290),
        ({"token": "t", "expires_in": 4}, 2),
        ({"token": "t", "expires_in": "300"}, DEFAULT_LIFETIME - 10),
        ({"token": "t", "expires_in": -1}, DEFAULT_LIFETIME - 10),
        ({"token": "t", "expires_in": True}, DEFAULT_LIFETIME - 10),
    ],
)
def test_how_long_a_token_is_used(document: dict[str, object], until: float) -> None:
    token = parse_token(json.dumps(document).encode(), "x", 1000.0)
    assert (token.value, token.until) == ("t", 1000.0 + until)
    assert "'t'" not in repr(token)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"token": 1}',
        b'{"token": "a\\nb"}',
        b'{"token": "a "}',
        b'{"token": "\\u00e9"}',
        b"[" * 99_999,
    ],
)
def test_an_answer_without_a_token(body: bytes) -> None:
    with pytest.raises(Denied, match="token"):
        parse_token(body, "x", 0)


def token_world(lying: LyingRegistry, *tokens: Answer, then: Answer | None = None) -> str:
    """A registry that wants a token from its own realm; returns the request for one."""
    challenge = f'Bearer realm="{lying.url}/token",service="lying"'
    answers = [Answer(401, {"WWW-Authenticate": challenge}), then or Answer(body=b'{"tags": ["1"]}')]
    lying.on(TAGS, *answers)
    request = "GET /token?service=lying&scope=repository%3Ateam%2Fapp%3Apull"
    lying.on(request, *tokens)
    return request


def test_a_token_is_fetched_once_for_many_threads(lying: LyingRegistry, open_at: Callable[..., RegistrySource]) -> None:
    request = token_world(lying, Answer(body=b'{"token": "t", "expires_in": 300}'))
    lying.wants = ("Bearer t", f'Bearer realm="{lying.url}/token",service="lying"')
    lying.on(TAGS, Answer(body=b'{"tags": ["1"]}'))
    source = open_at(lying.host)
    with ThreadPoolExecutor(8) as executor:
        assert set(executor.map(lambda _: source.tags(), range(24))) == {("1",)}
    assert lying.requests("GET /token") == [request]
    assert lying.asked[-1].headers["authorization"] == "Bearer t"


def test_tokens_need_no_connection_of_their_own(lying: LyingRegistry, open_at: Callable[..., RegistrySource]) -> None:
    """Eight threads that were all refused must not wait for each other's connections."""
    token_world(lying, Answer(body=b'{"token": "t"}'))
    lying.wants = ("Bearer t", f'Bearer realm="{lying.url}/token",service="lying"')
    lying.on(TAGS, Answer(body=b'{"tags": ["1"]}'))
    source = open_at(lying.host, None, RegistryConfig(plain_http=True, max_connections=1))
    with ThreadPoolExecutor(8) as executor:
        assert set(executor.map(lambda _: source.tags(), range(8))) == {("1",)}


def test_a_token_that_ran_out_is_not_sent(lying: LyingRegistry, open_at: Callable[..., RegistrySource]) -> None:
    request = token_world(
        lying, Answer(body=b'{"token": "one", "expires_in": 1e-9}'), Answer(body=b'{"token": "two", "expires_in": 300}')
    )
    source = open_at(lying.host)
    assert source.tags() == ("1",)
    challenge = {"WWW-Authenticate": f'Bearer realm="{lying.url}/token",service="lying"'}
    lying.on(TAGS, Answer(401, challenge), Answer(body=b'{"tags": ["2"]}'))
    assert source.tags() == source.tags() == ("2",)
    sent = [asked.headers.get("authorization") for asked in lying.asked if asked.path.startswith("/v2/")]
    assert sent == [None, "Bearer one", None, "Bearer two", "Bearer two"]
    assert lying.requests("GET /token") == [request] * 2


def test_an_identity_token_is_posted(lying: LyingRegistry, open_at: Callable[..., RegistrySource]) -> None:
    token_world(lying)
    lying.on("POST /token", Answer(body=b'{"access_token": "t"}'))
    assert open_at(lying.host, Credentials("<token>", identity_token="1d")).tags() == ("1",)
    (posted,) = [asked for asked in lying.asked if asked.method == "POST"]
    assert parse_qs(posted.body.decode()) == {
        "grant_type": ["refresh_token"],
        "client_id": ["r2mirror"],
        "refresh_token": ["1d"],
        "service": ["lying"],
        "scope": ["repository:team/app:pull"],
    }
    assert "authorization" not in posted.headers
    assert lying.asked[-1].headers["authorization"] == "Bearer t"


def test_a_refused_password_is_not_tried_for_every_tag(
    lying: LyingRegistry, open_at: Callable[..., RegistrySource]
) -> None:
    source = open_at(lying.host, USER)
    challenge = {"WWW-Authenticate": f'Bearer realm="{lying.url}/token"'}
    request = "GET /token?scope=repository%3Ateam%2Fapp%3Apull&account=user"
    lying.on(request, Answer(401))
    for tag in ("1", "2", "3"):
        lying.on(f"HEAD /v2/team/app/manifests/{tag}", Answer(401, challenge))
        with pytest.raises(Denied, match=r"token server .* answered 401"):
            source.resolve(tag)
    assert lying.requests(request) == [request]


PASSWORD = {"WWW-Authenticate": 'Basic realm="lying"'}
LATER = Credentials("user", "renewed")


def demanding(lying: LyingRegistry, *passwords: Credentials, refusal: Answer | None = None) -> None:
    """Makes each request for three repositories be answered only with one of these passwords."""
    allowed = {basic(one) for one in passwords}

    def judge(asked: Asked) -> Answer | None:
        given = asked.headers.get("authorization")
        if given in allowed:
            return None
        return refusal if given and refusal else Answer(401, PASSWORD)

    lying.judge = judge
    for name in ("one", "two", "three"):
        lying.on(f"GET /v2/team/{name}/tags/list?n=1000", Answer(body=b'{"tags": ["1"]}'))


def failed_logins(lying: LyingRegistry) -> list[str]:
    good = basic(LATER)
    return [one.headers["authorization"] for one in lying.asked if one.headers.get("authorization", good) != good]


WRONG = Answer(403, body=b'{"errors": [{"code": "DENIED", "message": "Access denied. The password was incorrect."}]}')


@pytest.mark.parametrize("scheme", ["basic", "basic with 403", "bearer", "bearer with 403"])
def test_a_wrong_password_is_one_failed_login_for_all_repositories(
    scheme: str, lying: LyingRegistry, open_at: Callable[..., RegistrySource]
) -> None:
    """However many threads come at once; each says the same words, with the host and where the login is from."""
    wrong = Credentials("user", "wrong", where="config.json: auths.lying")
    token = {"WWW-Authenticate": f'Bearer realm="{lying.url}/token"'}
    refusal = WRONG if "403" in scheme else Answer(401, PASSWORD)
    demanding(lying, LATER, refusal=refusal)
    if "bearer" in scheme:
        lying.judge = lambda asked: refusal if "authorization" in asked.headers else Answer(401, token)
    registry = open_at(lying.host, wrong).registry
    sources = [RegistrySource(registry, f"team/{name}") for name in ("one", "two", "three") * 4]

    def error(source: RegistrySource) -> str:
        with pytest.raises(LoginRefused) as caught:
            source.tags()
        return str(caught.value)

    with ThreadPoolExecutor(len(sources)) as executor:
        (words,) = set(executor.map(error, sources))
    assert failed_logins(lying) == [basic(wrong)]
    assert words.startswith(f"{lying.host}: the login from config.json: auths.lying was refused: ")
    assert "wrong" not in words


@pytest.mark.parametrize(
    "refusal",
    [
        Answer(401, PASSWORD),
        Answer(403, body=b'{"errors": [{"code": "DENIED", "message": "Your authorization token has expired."}]}'),
    ],
)
def test_a_password_that_ran_out_is_renewed_in_the_middle(
    refusal: Answer, lying: LyingRegistry, open_at: Callable[..., RegistrySource]
) -> None:
    logins = Given(USER, [LATER])
    demanding(lying, USER)
    registry = open_at(lying.host, logins).registry
    one, two = (RegistrySource(registry, f"team/{name}") for name in ("one", "two"))
    assert one.tags() == two.tags() == ("1",)
    demanding(lying, LATER, refusal=refusal)
    lying.asked.clear()
    assert one.tags() == two.tags() == one.tags() == ("1",)
    assert logins.asked == 1
    assert failed_logins(lying) == [basic(USER)], "once for the registry, not once for each repository"


def test_a_refusal_that_no_password_helps_is_not_asked_about_for_every_tag(
    lying: LyingRegistry, open_at: Callable[..., RegistrySource]
) -> None:
    """A 403 to a HEAD has no reason, and a helper that makes a new password each time must not be run for each tag."""
    logins = Given(USER, [Credentials("user", str(number)) for number in range(9)])
    lying.judge = lambda asked: Answer(403) if "authorization" in asked.headers else Answer(401, PASSWORD)
    source = open_at(lying.host, logins)
    for tag in ("1", "2", "3"):
        with pytest.raises(Denied, match="403"):
            source.resolve(tag)
    assert logins.asked == 1


def test_a_wrong_password_that_only_a_get_tells_of(
    lying: LyingRegistry, open_at: Callable[..., RegistrySource]
) -> None:
    """A HEAD is refused without a reason; from the GET after it on, nothing is sent with that login."""
    demanding(lying, LATER, refusal=WRONG)
    registry = open_at(lying.host, USER).registry
    for name in ("one", "two", "three"):
        with pytest.raises(LoginRefused):
            RegistrySource(registry, f"team/{name}").resolve("1")
    assert [(one.method, one.path.split("/")[3]) for one in lying.asked if "authorization" in one.headers] == [
        ("HEAD", "one"),
        ("GET", "one"),
    ]


def test_a_403_about_something_else_is_final(lying: LyingRegistry, open_at: Callable[..., RegistrySource]) -> None:
    logins = Given(USER, [LATER])
    demanding(lying, LATER, refusal=Answer(403, body=b'{"errors": [{"message": "not on the list of addresses"}]}'))
    with pytest.raises(Denied, match="403"):
        RegistrySource(open_at(lying.host, logins).registry, "team/one").tags()
    assert logins.asked == 0


def test_a_token_server_that_refuses_gets_what_the_helper_says_next(
    lying: LyingRegistry, open_at: Callable[..., RegistrySource]
) -> None:
    token_world(lying)
    request = "GET /token?service=lying&scope=repository%3Ateam%2Fapp%3Apull&account=user"
    lying.on(request, Answer(401), Answer(body=b'{"token": "t"}'))
    logins = Given(USER, [LATER])
    assert open_at(lying.host, logins).tags() == ("1",)
    assert logins.asked == 1
    assert [one.headers["authorization"] for one in lying.asked if one.path.startswith("/token")] == [
        basic(USER),
        basic(LATER),
    ]


def test_a_repository_that_is_not_ours_leaves_the_others_alone(
    lying: LyingRegistry, open_at: Callable[..., RegistrySource]
) -> None:
    """A login that has worked is not wrong because one repository answers 401 to it."""
    demanding(lying, LATER)
    right, judge = basic(LATER), lying.judge
    assert judge
    lying.judge = lambda asked: Answer(401, PASSWORD) if "/two/" in asked.path else judge(asked)
    registry = open_at(lying.host, LATER).registry
    one, two, three = (RegistrySource(registry, f"team/{name}") for name in ("one", "two", "three"))
    assert one.tags() == ("1",)
    with pytest.raises(Denied, match="answered 401"):
        two.tags()
    assert three.tags() == ("1",)
    assert lying.asked[-1].headers["authorization"] == right


def test_a_token_that_is_refused_is_replaced_once(lying: LyingRegistry, open_at: Callable[..., RegistrySource]) -> None:
    source = open_at(lying.host)
    token_world(lying, Answer(body=b'{"token": "one"}'), Answer(body=b'{"token": "two"}'))
    source.tags()
    challenge = {"WWW-Authenticate": f'Bearer realm="{lying.url}/token",service="lying"'}
    lying.on(TAGS, Answer(401, challenge), Answer(body=b'{"tags": ["2"]}'))
    assert source.tags() == ("2",)
    assert lying.asked[-1].headers["authorization"] == "Bearer two"
    lying.on(TAGS, Answer(401, challenge))
    with pytest.raises(Denied, match="docker login"):
        source.tags()


def test_a_token_server_that_refuses_or_is_busy(
    lying: LyingRegistry, open_at: Callable[..., RegistrySource], sleeps: list[float]
) -> None:
    token_world(lying, Answer(401))
    lying.on("GET /token?service=lying&scope=repository%3Ateam%2Fapp%3Apull&account=user", Answer(401, body=b"s3cret"))
    with pytest.raises(Denied, match=r"token server .* answered 401"):
        open_at(lying.host, USER).tags()
    lying.asked.clear()
    request = token_world(lying, Answer(503), Answer(body=b'{"token": "t"}'))
    lying.on(
        TAGS,
        *[Answer(401, {"WWW-Authenticate": f'Bearer realm="{lying.url}/token",service="lying"'})] * 2,
        Answer(body=b'{"tags": []}'),
    )
    assert open_at(lying.host).tags() == ()
    assert lying.requests(request) == [request] * 2
    assert len(sleeps) == 1


def test_a_password_for_a_registry_that_wants_one(lying: LyingRegistry, open_at: Callable[..., RegistrySource]) -> None:
    lying.on(TAGS, Answer(401, {"WWW-Authenticate": "Basic realm=x"}), Answer(body=b'{"tags": ["1"]}'))
    source = open_at(lying.host, USER)
    assert "authorization" not in "".join(str(asked.headers) for asked in lying.asked)
    assert source.tags() == source.tags() == ("1",)
    assert len(lying.asked) == 3, "the second time it is sent at once"
    lying.on(TAGS, Answer(401, {"WWW-Authenticate": "Basic realm=x"}))
    with pytest.raises(Denied):
        open_at(lying.host).tags()


def test_credentials_do_not_go_to_another_partys_realm(
    lying: LyingRegistry, elsewhere: LyingRegistry, open_at: Callable[..., RegistrySource]
) -> None:
    """Both are on loopback here, so the realm's name has to be another one."""
    realm = f"http://localhost.example.org:{elsewhere.host.rpartition(':')[2]}/token"
    lying.on(TAGS, Answer(401, {"WWW-Authenticate": f'Bearer realm="{realm}"'}))
    with pytest.raises(Denied, match="plain http") as caught:
        open_at(lying.host, USER).tags()
    assert "s3cret" not in str(caught.value)
    assert not elsewhere.asked


def test_a_scope_of_another_name_is_asked_for_where_ours_does_not_do(
    lying: LyingRegistry, open_at: Callable[..., RegistrySource]
) -> None:
    """Behind a proxy that shows the registry under other paths. The second time it is asked for at once."""
    named = "repository%3Areal%2Fapp%3Apull"
    challenge = f'Bearer realm="{lying.url}/token",scope="repository:real/app:pull,push"'
    lying.wants = ("Bearer right", challenge)
    lying.on("GET /token?scope=repository%3Ateam%2Fapp%3Apull&account=user", Answer(body=b'{"token": "wrong"}'))
    lying.on(f"GET /token?scope={named}&account=user", Answer(body=b'{"token": "right", "expires_in": 1e-9}'))
    lying.on(TAGS, Answer(body=b'{"tags": ["1"]}'))
    source = open_at(lying.host, USER)
    assert source.tags() == source.tags() == ("1",)
    asked = [one.partition("scope=")[2].partition("&")[0] for one in lying.requests("GET /token")]
    assert asked == ["repository%3Ateam%2Fapp%3Apull", named, named]


def test_a_token_server_that_redirects(lying: LyingRegistry, open_at: Callable[..., RegistrySource]) -> None:
    request = token_world(lying)
    for form in (request, f"{request}&account=user"):
        lying.on(form, Answer(307, {"Location": "/tokens/new"}))
    lying.on("GET /tokens/new", Answer(body=b'{"token": "t"}'))
    lying.on("POST /token", Answer(308, {"Location": "/tokens/new"}))
    lying.on("POST /tokens/new", Answer(body=b'{"token": "t"}'))
    for credentials in (None, USER, Credentials("<token>", identity_token="1d")):
        lying.asked.clear()
        lying.on(TAGS, Answer(401, {"WWW-Authenticate": f'Bearer realm="{lying.url}/token",service="lying"'}), TAG_LIST)
        assert open_at(lying.host, credentials).tags() == ("1",)
        (first, second) = [one for one in lying.asked if one.path.startswith("/token")]
        assert first.headers.get("authorization") == second.headers.get("authorization")
        assert first.body == second.body


def test_a_token_server_that_redirects_to_another_party(
    lying: LyingRegistry, open_at: Callable[..., RegistrySource]
) -> None:
    request = f"{token_world(lying)}&account=user"
    lying.on(request, Answer(307, {"Location": "https://tokens.example.org/new"}))
    with pytest.raises(Denied, match=r"realm https://tokens.example.org/new is another party's.* to token_servers"):
        open_at(lying.host, USER).tags()
    token_world(lying)
    lying.on(request, Answer(307, {"Location": request.removeprefix("GET ")}))
    with pytest.raises(Denied, match="redirects more than"):
        open_at(lying.host, USER).tags()


def test_another_registry_s_challenge_is_answered_with_its_own_login_only(
    lying: LyingRegistry, elsewhere: LyingRegistry, open_with: Callable[..., RegistrySource]
) -> None:
    """The first one's password stays home; of files nothing is taken, for another registry decides what is fetched."""
    lying.on(TAGS, Answer(307, {"Location": f"{elsewhere.url}/v2/real/app/tags/list"}))
    challenge = f'Bearer realm="{elsewhere.url}/token",scope="repository:real/app:pull"'
    elsewhere.wants = ("Bearer t", challenge)
    request = "GET /token?scope=repository%3Areal%2Fapp%3Apull"
    for form in (request, f"{request}&account=b-user"):
        elsewhere.on(form, Answer(body=b'{"token": "t"}'))
    elsewhere.on("GET /v2/real/app/tags/list", TAG_LIST)
    first = RegistryConfig("A_USER", "A_PASSWORD", plain_http=True)
    logins = {"A_USER": "a-user", "A_PASSWORD": "a-secret", "B_USER": "b-user", "B_PASSWORD": "b-secret"}
    in_file = json.dumps({"auths": {elsewhere.host: {"username": "file-user", "password": "file-secret"}}})
    for second, sent in (
        (RegistryConfig(plain_http=True), None),
        (RegistryConfig("B_USER", "B_PASSWORD", plain_http=True), basic(Credentials("b-user", "b-secret"))),
    ):
        elsewhere.asked.clear()
        registries = {lying.host: first, elsewhere.host: second}
        source = open_with(f"{lying.host}/team/app", registries, {**logins, "DOCKER_AUTH_CONFIG": in_file})
        assert source.tags() == ("1",)
        (token,) = [one for one in elsewhere.asked if one.path.startswith("/token")]
        assert token.headers.get("authorization") == sent


def resolving(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Has these names lead to this machine. They are looked up in bytes."""
    resolve, here = socket.getaddrinfo, {name.encode() for name in names}
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: resolve("127.0.0.1" if host in here else host, *rest, **more),
    )


def test_a_redirect_inside_is_followed_where_the_registry_itself_is_there(
    lying: LyingRegistry,
    elsewhere: LyingRegistry,
    open_at: Callable[..., RegistrySource],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the connection's other end, not by its name; behind a proxy that end is the proxy's."""
    name = "registry.example.com"
    resolving(monkeypatch, name)
    lying.on(TAGS, Answer(307, {"Location": f"{elsewhere.url}/tags"}))
    elsewhere.on("GET /tags", TAG_LIST)
    host = f"{name}:{lying.host.rpartition(':')[2]}"
    assert open_at(host).tags() == ("1",)
    monkeypatch.setenv("HTTP_PROXY", lying.url)
    lying.on(f"GET http://{host}/v2/team/app/tags/list?n=1000", Answer(307, {"Location": f"{elsewhere.url}/tags"}))
    with pytest.raises(BadAnswer, match=rf"add {elsewhere.host} to redirects_to under registries.{host}"):
        open_at(host).tags()
    lying.on(f"GET {elsewhere.url}/tags", TAG_LIST)
    assert open_at(host, None, RegistryConfig(plain_http=True, redirects_to=(elsewhere.host,))).tags() == ("1",)


def test_another_party_s_token_server_gets_the_login_where_it_is_declared(
    lying: LyingRegistry, open_at: Callable[..., RegistrySource], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "registry.example.com", "auth.example.net")
    port = lying.host.rpartition(":")[2]
    challenge = f'Bearer realm="http://auth.example.net:{port}/token"'
    lying.wants = ("Bearer t", challenge)
    lying.on("GET /token?scope=repository%3Ateam%2Fapp%3Apull&account=user", Answer(body=b'{"token": "t"}'))
    lying.on(TAGS, TAG_LIST)
    for places, why in (((), "is plain http"), (("auth.example.net",), "is plain http")):
        config = RegistryConfig(plain_http=True, token_servers=places)
        with pytest.raises(Denied, match=why):
            open_at(f"registry.example.com:{port}", USER, config).tags()
    assert not lying.requests("GET /token")
    config = RegistryConfig(plain_http=True, token_servers=(f"http://auth.example.net:{port}",))
    assert open_at(f"registry.example.com:{port}", USER, config).tags() == ("1",)
    assert [one.headers["authorization"] for one in lying.asked if one.path.startswith("/token")] == [basic(USER)]


def test_a_token_may_be_for_more_than_pulls_and_for_two_repositories() -> None:
    scope = "repository:a/b:pull,push repository:c:pull"
    challenge = Challenge("bearer", {"realm": "https://auth.example.com/token", "scope": "repository:x/b:pull"})
    asked = parse_qs(urlsplit(token_request(challenge, scope, None).url).query)
    assert asked["scope"] == scope.split(), "token.md: each is a parameter of its own"
    form = token_request(challenge, scope, Credentials("<token>", identity_token="t")).form
    assert form is not None
    assert parse_qs(form)["scope"] == [scope], "oauth.md: one parameter has them all"
    assert named_scope(challenge, scope) == "repository:x/b:pull,push repository:c:pull"
