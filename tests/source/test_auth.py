"""How registries let us in: what is understood of a challenge, where credentials go, and where they never do."""

from __future__ import annotations

import base64
import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import BadAnswer, Denied, LoginRefused
from reconciler.mirrors import RegistryConfig
from reconciler.source.auth import (
    DEFAULT_LIFETIME,
    Challenge,
    basic,
    check_realm,
    check_redirect,
    choose,
    parse_challenges,
    parse_token,
    token_request,
)
from reconciler.source.credentials import Credentials
from reconciler.source.repository import RegistrySource
from tests.source.logins import Given
from tests.source.lying_registry import Answer, Asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.source.lying_registry import LyingRegistry

HUB = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull"'
USER = Credentials("user", "s3cret")
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
    anonymous = token_request(challenge, "https://registry-1.docker.io", "repository:a/b:pull", None)
    assert anonymous.url == "https://auth.docker.io/token?service=registry.docker.io&scope=repository%3Aa%2Fb%3Apull"
    assert (anonymous.headers, anonymous.form) == ({}, None)
    known = token_request(challenge, "https://registry-1.docker.io", "repository:a/b:pull", USER)
    assert known.url.endswith("&account=user")
    assert known.headers == {"Authorization": "Basic " + base64.b64encode(b"user:s3cret").decode()}
    by_identity = token_request(
        challenge, "https://registry-1.docker.io", "s", Credentials("<token>", identity_token="t")
    )
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


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_a_wrong_password_is_one_failed_login_for_all_repositories(
    scheme: str, lying: LyingRegistry, open_at: Callable[..., RegistrySource]
) -> None:
    """However many threads come at once; each says the same words, with the host and where the login is from."""
    wrong = Credentials("user", "wrong", where="config.json: auths.lying")
    token = {"WWW-Authenticate": f'Bearer realm="{lying.url}/token"'}
    demanding(lying, LATER)
    if scheme == "bearer":
        lying.judge = lambda asked: Answer(401, token) if "authorization" not in asked.headers else Answer(401)
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
