"""Registries that misbehave, each in its own way: what is retried, what is followed, what is refused."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from reconciler import __version__
from reconciler.errors import BadAnswer, Denied, NotFound, RateLimited, SourceError, Unreachable
from reconciler.http.patience import parse_retry_after
from reconciler.oci.spec import MAX_MANIFEST_SIZE, OCI_INDEX, OCI_MANIFEST, SCHEMA1, Descriptor, Digest
from reconciler.sources import blobs, tag_list
from reconciler.sources.blobs import BLOB_BREAKS
from reconciler.sources.config import RegistryConfig
from reconciler.sources.credentials import Credentials
from reconciler.sources.quota import Quota
from reconciler.sources.registry import SIGNED_ATTEMPTS, Registry
from reconciler.sources.repository import MAX_WRONG_HEADS
from reconciler.sources.tokens import MAX_REDIRECTS
from reconciler.sources.translated import translated
from tests.parts.logins import Given
from tests.parts.scripted_server import DROP, Answer

if TYPE_CHECKING:
    from reconciler.sources.repository import RegistrySource
    from tests.parts.lying_registry import LyingRegistry

TAGS = "GET /v2/team/app/tags/list"
BODY = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
DIGEST = Digest.of(BODY)
ROOT = Descriptor(OCI_INDEX, DIGEST, len(BODY))
BLOB = bytes(range(256)) * 1024
OTHER = Descriptor(OCI_INDEX, Digest.of(b"other"), 5)
LAYER = Descriptor("application/octet-stream", Digest.of(BLOB), len(BLOB))


def page(*tags: str, link: str = "") -> Answer:
    return Answer(headers={"Link": link} if link else {}, body=json.dumps({"name": "x", "tags": tags}).encode())


def manifest(body: bytes = BODY, media_type: str = OCI_INDEX, digest: str | None = None) -> Answer:
    digest = str(Digest.of(body)) if digest is None else digest
    headers = {"Content-Type": media_type, "Docker-Content-Digest": digest}
    return Answer(headers={name: value for name, value in headers.items() if value}, body=body)


@pytest.fixture
def source(lying: LyingRegistry, open_at: Callable[..., RegistrySource]) -> RegistrySource:
    return open_at(lying.host)


# Tag lists


def test_pages_are_followed_whether_the_link_is_relative_or_absolute(
    lying: LyingRegistry, source: RegistrySource
) -> None:
    lying.on(f"{TAGS}?n=1000", page("1", "2", link='</v2/team/app/tags/list?last=2&n=2>; rel="next"'))
    lying.on(f"{TAGS}?last=2&n=2", page("3", link=f"<{lying.url}/v2/team/app/tags/list?last=3>; rel=next"))
    lying.on(f"{TAGS}?last=3", page("4", "1"))
    assert source.tags() == ("1", "2", "3", "4")


def test_of_a_link_that_lost_the_path_only_last_is_taken(lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on(f"{TAGS}?n=1000", page("1", link='</v2/app/tags/list?last=1>; rel="next"'))
    lying.on(f"{TAGS}?n=1000&last=1", page("2"))
    assert source.tags() == ("1", "2")


def test_a_link_to_another_host_is_not_followed(
    lying: LyingRegistry, elsewhere: LyingRegistry, source: RegistrySource
) -> None:
    lying.on(f"{TAGS}?n=1000", page("1", link=f'<{elsewhere.url}/v2/team/app/tags/list>; rel="next"'))
    with pytest.raises(BadAnswer, match="leads elsewhere"):
        source.tags()
    assert not elsewhere.asked


@pytest.mark.parametrize(
    "link",
    [
        '<{}>; title="x, y"; rel="next"',
        '<{}>; title="a=b; <c>, rel=\\"last\\""; rel="next"',
        "<{}>; rel='next'",
        '<{}> ; REL = "Next"',
        '<{}>; rel="last next"',
        "<{}>;;rel=next;title*=UTF-8''x",
        '</v2/>; rel="first", <{}>; rel=next',
        '</v2/>; rel=prev\n<{}>; rel="next"',
        ', <{}>; rel="next",',
        '<{}>; rel="next"; rel="prev"',
    ],
)
def test_a_link_is_read_as_rfc_8288_has_it(link: str, lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on(f"{TAGS}?n=1000", page("1", link=link.format("/v2/team/app/tags/list?last=1;x,y")))
    lying.on(f"{TAGS}?last=1;x,y", page("2"))
    assert source.tags() == ("1", "2")


@pytest.mark.parametrize(
    "link",
    [
        '/v2/team/app/tags/list?last=1; rel="next"',
        '</v2/team/app/tags/list?last=1; rel="next"',
        "</v2/team/app/tags/list?last=1>",
        '</v2/team/app/tags/list?last=1>; rel="next',
        '</v2/team/app/tags/list?last=1>; rel=""',
        '</v2/team/app/tags/list?last=1> rel="next"',
        '<?last=1>; rel="next", <?last=2>; rel="next"',
        "next",
    ],
)
def test_a_link_that_cannot_be_read_is_not_the_end_of_the_list(
    link: str, lying: LyingRegistry, source: RegistrySource
) -> None:
    lying.on(f"{TAGS}?n=1000", page("1", link=link))
    with pytest.raises(BadAnswer, match=r"Link header of its list cannot be read .*nothing is removed"):
        source.tags()


@pytest.mark.parametrize("link", ["", ",", '</v2/team/app/tags/list>; rel="first"', "</x>; rel=prev"])
def test_a_header_without_a_next_page_ends_the_list(link: str, lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on(f"{TAGS}?n=1000", page("1", link=link))
    assert source.tags() == ("1",)


def test_after_a_full_page_without_a_link_the_next_one_is_asked_for(
    lying: LyingRegistry, source: RegistrySource
) -> None:
    names = [f"{number:03d}" for number in range(150)]
    lying.on(f"{TAGS}?n=1000", page(*names[:100]))
    lying.on(f"{TAGS}?n=1000&last=099", page(*names[100:]))
    lying.on(f"{TAGS}?n=1000&last=149", page())
    assert source.tags() == tuple(names)


@pytest.mark.parametrize("status", [200, 400, 404, 405, 422])
def test_a_registry_without_pages_has_one(status: int, lying: LyingRegistry, source: RegistrySource) -> None:
    names = [f"{number:03d}" for number in range(100)]
    lying.on(f"{TAGS}?n=1000", page(*names))
    lying.on(f"{TAGS}?n=1000&last=099", replace(page(*names), status=status))
    assert source.tags() == tuple(names)
    lying.on(f"{TAGS}?n=1000&last=099", Answer(403))
    with pytest.raises(Denied):
        source.tags()


def test_pages_without_an_end_are_given_up(
    lying: LyingRegistry, source: RegistrySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tag_list, "MAX_PAGES", 4)
    lying.on(f"{TAGS}?n=1000", page(link="<?last=0>; rel=next"))
    for number in range(9):
        lying.on(f"{TAGS}?last={number}", page(link=f"<?last={number + 1}>; rel=next"))
    with pytest.raises(BadAnswer, match="4 pages"):
        source.tags()
    assert len(lying.asked) == 4


def test_pages_that_go_round_in_a_circle_end(lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on(f"{TAGS}?n=1000", page("1", link='<?last=1>; rel="next"'))
    lying.on(f"{TAGS}?last=1", page("2", link='<?n=1000>; rel="next"'))
    with pytest.raises(BadAnswer, match="circle"):
        source.tags()


@pytest.mark.parametrize("status", [400, 405])
def test_a_registry_that_refuses_the_page_size_has_its_own(
    status: int, lying: LyingRegistry, source: RegistrySource
) -> None:
    lying.on(f"{TAGS}?n=1000", Answer(status))
    lying.on(TAGS, page("1"))
    assert source.tags() == ("1",)


def test_an_invalid_tag_is_left_out(lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on(f"{TAGS}?n=1000", page("ok", "ok", "../../x", "", "-a", "x" * 129))
    assert source.tags() == ("ok",)
    lying.on(f"{TAGS}?n=1000", Answer(body=b'{"name": "x", "tags": null}'))
    assert source.tags() == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"<html>",
        b'{"tags": [1]}',
        b'{"tags": {}}',
        b"{}",
        b'{"name": "x"}',
        b"[" * 100_000,
        b'{"tags": [], "tags": []}',
    ],
)
def test_a_list_that_is_none_is_an_error_not_an_empty_list(
    body: bytes, lying: LyingRegistry, source: RegistrySource
) -> None:
    lying.on(f"{TAGS}?n=1000", Answer(body=body))
    with pytest.raises(BadAnswer, match="tag list"):
        source.tags()


# Manifests


def test_one_head_is_enough_where_the_headers_say_all(lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on("HEAD /v2/team/app/manifests/1", manifest())
    assert source.resolve("1") == ROOT
    assert lying.requests() == ["HEAD /v2/team/app/manifests/1"]
    assert OCI_INDEX in lying.asked[0].headers["accept"]
    assert lying.asked[0].headers["user-agent"] == f"r2mirror/{__version__}"


def test_a_tag_that_has_not_moved_needs_no_description(lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on("HEAD /v2/team/app/manifests/1", manifest(), Answer(304), manifest())
    assert source.resolve_again("1", OTHER) == ROOT, "the first answer tells whether there is a quota"
    assert source.resolve_again("1", ROOT) == ROOT
    assert source.resolve_again("1", OTHER) == ROOT, "it has moved"
    assert [one.headers.get("if-none-match") for one in lying.asked] == [None, f'"{DIGEST}"', f'"{OTHER.digest}"']


def test_where_there_is_a_quota_each_answer_has_to_tell_it(lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on("HEAD /v2/team/app/manifests/1", counting(76, manifest()), counting(75, manifest()))
    assert source.resolve_again("1", ROOT) == source.resolve_again("1", ROOT) == ROOT
    assert source.quota() == Quota(lying.host, 100, 75, 21_600)
    assert not any("if-none-match" in one.headers for one in lying.asked)


def test_not_modified_is_no_answer_where_nothing_was_said_to_be_known(
    lying: LyingRegistry, source: RegistrySource
) -> None:
    lying.on("HEAD /v2/team/app/manifests/1", Answer(304))
    lying.on("GET /v2/team/app/manifests/1", manifest())
    assert source.resolve("1") == source.resolve("1") == ROOT


@pytest.mark.parametrize("status", [400, 412])
def test_a_refused_condition_is_overruled_by_a_get(status: int, lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on("HEAD /v2/team/app/manifests/1", manifest(), Answer(status))
    lying.on("GET /v2/team/app/manifests/1", manifest())
    assert [source.resolve_again("1", OTHER) for _ in range(2)] == [ROOT, ROOT]


@pytest.mark.parametrize(
    "head",
    [
        Answer(405),
        Answer(400),
        Answer(501),
        manifest(digest=""),
        manifest(digest="sha256:x"),
        manifest(media_type="text/plain"),
        manifest(media_type=""),
    ],
)
def test_where_head_does_not_say_all_the_manifest_is_fetched_and_hashed(
    head: Answer, lying: LyingRegistry, source: RegistrySource
) -> None:
    lying.on("HEAD /v2/team/app/manifests/1", head)
    lying.on("GET /v2/team/app/manifests/1", manifest(digest="", media_type=""))
    assert source.resolve("1") == ROOT


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410, 400, 422, 429, 500, 501, 503])
def test_a_head_that_is_refused_is_overruled_by_a_get(
    status: int, lying: LyingRegistry, source: RegistrySource, sleeps: list[float]
) -> None:
    lying.on("HEAD /v2/team/app/manifests/1", Answer(status), Answer(404) if status == 429 else Answer(status))
    lying.on("GET /v2/team/app/manifests/1", manifest())
    assert source.resolve("1") == ROOT
    assert len(sleeps) == (status == 429), "a limit is waited for, and nothing else"


def test_a_head_that_is_not_answered_is_overruled_by_a_get(lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on("HEAD /v2/team/app/manifests/1", DROP)
    lying.on("GET /v2/team/app/manifests/1", manifest())
    assert source.resolve("1") == ROOT


def test_a_registry_whose_heads_are_refused_is_soon_asked_by_get_alone(
    lying: LyingRegistry, source: RegistrySource
) -> None:
    lying.on("GET /v2/team/app/manifests/1", manifest())
    for _ in range(9):
        assert source.resolve("1") == ROOT
    assert len(lying.requests("HEAD")) == MAX_WRONG_HEADS


@pytest.mark.parametrize("media_type", SCHEMA1)
def test_type_and_length_of_a_head_answer_are_not_a_reason_to_refuse(
    media_type: str, lying: LyingRegistry, source: RegistrySource
) -> None:
    lying.on("GET /v2/team/app/manifests/1", manifest())
    lying.on("HEAD /v2/team/app/manifests/1", manifest(media_type=media_type))
    assert source.resolve("1") == ROOT
    large = {**manifest().headers, "Content-Length": str(MAX_MANIFEST_SIZE + 1)}
    lying.on("HEAD /v2/team/app/manifests/1", Answer(headers=large))
    assert source.resolve("1") == ROOT


@pytest.mark.parametrize(("status", "kind"), [(404, NotFound), (403, Denied), (401, Denied)])
def test_where_a_get_is_a_pull_head_has_the_last_word(
    status: int, kind: type[SourceError], lying: LyingRegistry, source: RegistrySource
) -> None:
    lying.on("HEAD /v2/team/app/manifests/1", manifest(), Answer(status))
    lying.by_request["HEAD /v2/team/app/manifests/1"][0].headers["ratelimit-limit"] = "100;w=21600"  # type: ignore[index]
    lying.by_request["HEAD /v2/team/app/manifests/1"][0].headers["ratelimit-remaining"] = "9;w=21600"  # type: ignore[index]
    assert source.resolve("1") == ROOT
    with pytest.raises(kind):
        source.resolve("1")
    lying.on("HEAD /v2/team/app/manifests/1", manifest(media_type=SCHEMA1[0]))
    with pytest.raises(BadAnswer, match="no longer pull"):
        source.resolve("1")
    assert not lying.requests("GET")


def test_what_neither_head_nor_get_has_is_not_there(lying: LyingRegistry, source: RegistrySource) -> None:
    with pytest.raises(NotFound, match=r"127.0.0.1:\d+/team/app:1: .* has no such manifest"):
        source.resolve("1")
    assert lying.requests() == ["HEAD /v2/team/app/manifests/1", "GET /v2/team/app/manifests/1"]


def test_a_tag_that_may_be_there_costs_one_request_to_miss(lying: LyingRegistry, source: RegistrySource) -> None:
    assert source.attachments(DIGEST, None).tags == {}
    assert not lying.requests("GET /v2/team/app/manifests/")
    assert lying.requests("HEAD")


@pytest.mark.parametrize("status", [401, 403])
def test_refused_says_what_to_do(status: int, lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on("HEAD /v2/team/app/manifests/1", Answer(status))
    lying.on("GET /v2/team/app/manifests/1", Answer(status))
    with pytest.raises(Denied, match="docker login"):
        source.resolve("1")


# Whose answer it was, and why


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            b'{"errors":[{"code":"X","message":"blocked: 12 findings"}]}',
            ": blocked: 12 findings; expected a manifest",
        ),
        (
            b'{"errors":[{"code":"DENIED","message":""},{"code":"Y","message":"two"}]}',
            ": DENIED; two; expected a manifest",
        ),
        (b'{"errors":[{"code":"X","detail":{"a":1}}]}', ": X; expected a manifest"),
        (b'{"details":"incorrect username"}', ": incorrect username; expected a manifest"),
        (
            b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>less &amp; less</Message></Error>",
            ": SlowDown: less & less; expected a manifest",
        ),
        (b"<html><head><title>502 Bad\nGateway</title>", ": 502 Bad Gateway; expected a manifest"),
        (b"access\x1b[2Jdenied\nsecond line", "access\ufffd[2Jdenied"),
        (b'{"message":"' + b"x" * 999 + b'"}', ": " + "x" * 200 + "...; expected a manifest"),
        (b'{"errors":[', "answered 412; expected a manifest"),
        (b'{"errors":null}', "answered 412; expected a manifest"),
        (b"", "answered 412; expected a manifest"),
        (b"\xff\x00", ": \ufffd\ufffd; expected a manifest"),
    ],
)
def test_a_refusal_says_whose_it_is_and_why(
    body: bytes, words: str, lying: LyingRegistry, source: RegistrySource
) -> None:
    lying.on("GET /v2/team/app/manifests/1", Answer(412, body=body))
    with pytest.raises(BadAnswer) as caught:
        source.resolve("1")
    assert f"{lying.host} answered 412" in caught.value.why
    assert words in caught.value.why


def test_what_may_pass_says_why_too(lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on(f"{TAGS}?n=1000", Answer(503, body=b"down for repairs"))
    with pytest.raises(Unreachable, match="answered 503 after 3 attempts: down for repairs; try again"):
        source.tags()
    lying.on(f"{TAGS}?n=1000", Answer(429, body=b'{"errors":[{"message":"your pull rate limit"}]}'))
    with pytest.raises(RateLimited, match=r"\(429\): your pull rate limit; try again"):
        source.tags()


def test_no_reason_repeats_a_secret(lying: LyingRegistry, open_at: Callable[..., RegistrySource]) -> None:
    lying.on(
        f"{TAGS}?n=1000", Answer(401, {"WWW-Authenticate": "Basic realm=x"}), Answer(403, body=b"bad: user:secret-word")
    )
    with pytest.raises(Denied, match=r"answered 403: there is no such"):
        open_at(lying.host, Credentials("user", "secret-word")).tags()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_signed_url_that_is_refused_is_asked_for_again(
    status: int, lying: LyingRegistry, elsewhere: LyingRegistry, source: RegistrySource
) -> None:
    lying.on(
        GET_BLOB,
        Answer(307, {"Location": f"{elsewhere.url}/1?sig=1"}),
        Answer(307, {"Location": f"{elsewhere.url}/2?sig=2"}),
    )
    elsewhere.on("GET /1?sig=1", Answer(status))
    elsewhere.on("GET /2?sig=2", Answer(body=BLOB))
    assert b"".join(source.blob(LAYER)) == BLOB


def test_a_refusal_that_stays_is_that_of_its_host(
    lying: LyingRegistry, elsewhere: LyingRegistry, source: RegistrySource
) -> None:
    lying.on(GET_BLOB, Answer(307, {"Location": f"{elsewhere.url}/1?sig=1234567"}))
    elsewhere.on(
        "GET /1?sig=1234567", Answer(403, body=b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
    )
    with pytest.raises(Denied, match=rf"{elsewhere.host} answered 403: AccessDenied: no; {lying.host} redirects there"):
        list(source.blob(LAYER))
    assert len(elsewhere.asked) == SIGNED_ATTEMPTS


def test_another_hosts_plain_absence_is_believed_at_once(
    lying: LyingRegistry, elsewhere: LyingRegistry, source: RegistrySource, sleeps: list[float]
) -> None:
    """As registry.k8s.io redirects every manifest."""
    for method in ("HEAD", "GET"):
        lying.on(f"{method} /v2/team/app/manifests/1", Answer(307, {"Location": f"{elsewhere.url}/v2/x/manifests/1"}))
    with pytest.raises(NotFound, match=f"{elsewhere.host} answered 404"):
        source.resolve("1")
    assert not sleeps


def test_a_digest_is_answered_with_that_digest(lying: LyingRegistry, source: RegistrySource) -> None:
    asked = Digest("sha256", "0" * 64)
    lying.on(f"HEAD /v2/team/app/manifests/{asked}", manifest())
    with pytest.raises(BadAnswer, match=str(DIGEST)):
        source.resolve(str(asked))


@pytest.mark.parametrize("media_type", SCHEMA1)
def test_schema_1_is_refused_with_an_explanation(media_type: str, lying: LyingRegistry, source: RegistrySource) -> None:
    for method in ("HEAD", "GET"):
        lying.on(f"{method} /v2/team/app/manifests/1", manifest(media_type=media_type))
    with pytest.raises(BadAnswer, match="no longer pull"):
        source.resolve("1")
    lying.on("HEAD /v2/team/app/manifests/1", Answer(405))
    lying.on("GET /v2/team/app/manifests/1", manifest(b'{"schemaVersion": 1}', "application/json"))
    with pytest.raises(BadAnswer, match="no longer pull"):
        source.resolve("1")


def test_a_manifest_that_is_too_large_is_refused(lying: LyingRegistry, source: RegistrySource) -> None:
    for reference in ("1", str(DIGEST)):
        lying.on(f"GET /v2/team/app/manifests/{reference}", manifest(b" " * (MAX_MANIFEST_SIZE + 1)))
    with pytest.raises(BadAnswer, match=str(MAX_MANIFEST_SIZE)):
        source.resolve("1")
    with pytest.raises(BadAnswer, match=str(MAX_MANIFEST_SIZE)):
        source.manifest(ROOT)


def test_wrong_bytes_are_fetched_once_more(lying: LyingRegistry, source: RegistrySource) -> None:
    url = f"GET /v2/team/app/manifests/{DIGEST}"
    lying.on(url, manifest(b"x" * len(BODY)), manifest())
    assert source.manifest(ROOT) == BODY
    lying.on(url, manifest(b"x" * len(BODY)))
    with pytest.raises(BadAnswer, match="of this digest, got"):
        source.manifest(ROOT)
    assert len(lying.requests(url)) == 4


def test_a_connection_that_breaks_within_a_document_is_tried_again(
    lying: LyingRegistry, source: RegistrySource
) -> None:
    whole = page("1")
    lying.on(f"{TAGS}?n=1000", replace(whole, cut=3), whole)
    assert source.tags() == ("1",)
    lying.on(f"GET /v2/team/app/manifests/{DIGEST}", replace(manifest(), cut=3), manifest())
    assert source.manifest(ROOT) == BODY
    lying.on("HEAD /v2/team/app/manifests/1", Answer(405))
    lying.on("GET /v2/team/app/manifests/1", replace(manifest(), cut=3), manifest())
    assert source.resolve("1") == ROOT
    lying.on(f"{TAGS}?n=1000", replace(whole, cut=3))
    lying.asked.clear()
    with pytest.raises(Unreachable, match="after 3 attempts"):
        source.tags()
    assert len(lying.asked) == 3


# Blobs

GET_BLOB = f"GET /v2/team/app/blobs/{LAYER.digest}"


def part(start: int, cut: int = 0) -> Answer:
    headers = {"Content-Range": f"bytes {start}-{len(BLOB) - 1}/{len(BLOB)}"}
    return Answer(206, headers, BLOB[start:], cut)


@pytest.mark.parametrize("partial", [True, False], ids=["206", "200"])
def test_a_blob_that_breaks_off_goes_on_where_it_was(
    partial: bool, lying: LyingRegistry, source: RegistrySource
) -> None:
    missing = 100_000
    lying.on(GET_BLOB, Answer(body=BLOB, cut=missing), part(len(BLOB) - missing) if partial else Answer(body=BLOB))
    assert b"".join(source.blob(LAYER)) == BLOB
    assert [asked.headers.get("range") for asked in lying.asked] == [None, f"bytes={len(BLOB) - missing}-"]
    assert {asked.headers["accept-encoding"] for asked in lying.asked} == {"identity"}


def test_a_range_that_was_not_asked_for_is_refused(lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on(GET_BLOB, Answer(body=BLOB, cut=100), part(5))
    with pytest.raises(BadAnswer, match="sent another range than the bytes from"):
        list(source.blob(LAYER))


@pytest.mark.parametrize("trouble", [Answer(body=BLOB, cut=len(BLOB)), DROP], ids=["no bytes", "no answer"])
def test_however_large_a_blob_a_host_that_sends_nothing_is_given_up(
    trouble: Answer, lying: LyingRegistry, source: RegistrySource
) -> None:
    lying.on(GET_BLOB, trouble)
    with pytest.raises(Unreachable, match="after 0 of 10737418240 bytes"):
        list(source.blob(replace(LAYER, size=10 * 2**30)))
    patient = 2 * 3 + (BLOB_BREAKS - 1)  # the host counts as down after two requests of three attempts
    assert len(lying.asked) == (patient if trouble.drop else 1 + BLOB_BREAKS)


def test_a_blob_in_drops_is_given_up_and_one_in_large_pieces_is_not(
    lying: LyingRegistry, source: RegistrySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pieces(size: int) -> list[Answer]:
        return [part(start, max(0, len(BLOB) - start - size)) for start in range(0, len(BLOB), size)]

    lying.on(GET_BLOB, *pieces(len(BLOB) // 100))
    with pytest.raises(Unreachable, match="again and again"):
        list(source.blob(LAYER))
    assert len(lying.asked) == 1 + BLOB_BREAKS
    monkeypatch.setattr(blobs, "BYTES_A_BREAK", len(BLOB) // 100)
    lying.on(GET_BLOB, *pieces(len(BLOB) // 100))
    assert b"".join(source.blob(LAYER)) == BLOB


def test_a_blob_that_goes_on_after_its_end_is_cut_off(lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on(GET_BLOB, Answer(body=BLOB * 4))
    had: list[bytes] = []
    with pytest.raises(BadAnswer, match=f"is longer than the {len(BLOB)} bytes"):
        had.extend(source.blob(LAYER))
    assert BLOB.startswith(b"".join(had))
    assert len(lying.asked) == 1


def test_a_short_body_that_says_so_is_not_taken_for_the_whole(lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on(GET_BLOB, Answer(body=BLOB[:1000]), Answer(416))
    with pytest.raises(BadAnswer, match="416"):
        list(source.blob(LAYER))


def test_an_empty_blob(lying: LyingRegistry, source: RegistrySource) -> None:
    empty = Descriptor("application/octet-stream", Digest.of(b""), 0)
    lying.on(f"GET /v2/team/app/blobs/{empty.digest}", Answer())
    assert list(source.blob(empty)) == []
    assert len(lying.asked) == 1


def test_leaving_a_blob_early_gives_its_connection_back(
    lying: LyingRegistry, open_at: Callable[..., RegistrySource]
) -> None:
    source = open_at(lying.host, None, RegistryConfig(plain_http=True, max_connections=1))
    lying.on(GET_BLOB, Answer(body=BLOB))
    lying.on(f"{TAGS}?n=1000", page("1"))
    chunks = source.blob(LAYER)
    next(chunks)
    chunks.close()
    assert source.tags() == ("1",)


# Redirects


def test_a_redirect_to_another_host_goes_without_our_authorization(
    lying: LyingRegistry, elsewhere: LyingRegistry, open_at: Callable[..., RegistrySource]
) -> None:
    lying.on(
        GET_BLOB,
        Answer(401, {"WWW-Authenticate": "Basic realm=x"}),
        Answer(307, {"Location": f"{elsewhere.url}/cdn?signature=s"}),
    )
    elsewhere.on("GET /cdn?signature=s", Answer(body=BLOB))
    assert b"".join(open_at(lying.host, Credentials("user", "secret")).blob(LAYER)) == BLOB
    assert "authorization" in lying.asked[-1].headers
    assert "authorization" not in elsewhere.asked[0].headers


def test_a_redirect_within_the_registry_keeps_it(lying: LyingRegistry, open_at: Callable[..., RegistrySource]) -> None:
    lying.on(GET_BLOB, Answer(401, {"WWW-Authenticate": "Basic realm=x"}), Answer(302, {"Location": "/elsewhere"}))
    lying.on("GET /elsewhere", Answer(body=BLOB))
    assert b"".join(open_at(lying.host, Credentials("user", "secret")).blob(LAYER)) == BLOB
    assert "authorization" in lying.asked[-1].headers


def test_manifests_are_redirected_too(lying: LyingRegistry, elsewhere: LyingRegistry, source: RegistrySource) -> None:
    lying.on("HEAD /v2/team/app/manifests/1", Answer(302, {"Location": f"{elsewhere.url}/v2/there/manifests/1"}))
    elsewhere.on("HEAD /v2/there/manifests/1", manifest())
    assert source.resolve("1") == ROOT
    assert OCI_INDEX in elsewhere.asked[0].headers["accept"]


@pytest.mark.parametrize(
    "location",
    [
        "https://[::1",
        "http://127.0.0.1:99999/x",
        "http://127.0.0.1:x/x",
        f"http://{'a' * 64}.com/x",
        "http://a..b/x",
        "http://",
        "file:///etc/passwd",
    ],
)
def test_a_redirect_to_nowhere_is_an_error_of_ours(location: str, lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on(GET_BLOB, Answer(302, {"Location": location}))
    with pytest.raises((BadAnswer, Unreachable)):
        list(source.blob(LAYER))


@pytest.mark.parametrize("host", ["a..b", "127.0.0.1:99999", f"{'a' * 64}.com", "registry.example.com:0"])
def test_a_registry_that_cannot_be_a_host(host: str) -> None:
    with pytest.raises(Unreachable, match=r"correct it in mirrors\.yaml"):
        Registry(host, RegistryConfig(), Given())


def test_errors_name_the_host_that_failed(
    lying: LyingRegistry, elsewhere: LyingRegistry, source: RegistrySource
) -> None:
    lying.on(GET_BLOB, Answer(307, {"Location": f"{elsewhere.url}/cdn?signature=s3cret"}))
    for trouble, error in ((Answer(503), Unreachable), (DROP, Unreachable), (Answer(429), RateLimited)):
        elsewhere.on("GET /cdn?signature=s3cret", trouble)
        with pytest.raises(error, match=elsewhere.host) as caught:
            list(source.blob(LAYER))
        assert "s3cret" not in str(caught.value)


def test_redirects_without_an_end_are_given_up(lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on(GET_BLOB, Answer(302, {"Location": f"/v2/team/app/blobs/{LAYER.digest}"}))
    with pytest.raises(BadAnswer, match="redirects more than"):
        list(source.blob(LAYER))
    assert len(lying.asked) == MAX_REDIRECTS + 1


# Patience


def test_busy_registries_are_asked_again_when_they_say(
    lying: LyingRegistry, source: RegistrySource, sleeps: list[float]
) -> None:
    lying.on(f"{TAGS}?n=1000", Answer(429, {"Retry-After": "7"}), Answer(503), page("1"))
    assert source.tags() == ("1",)
    assert sleeps[0] == 7
    assert 0 < sleeps[1] < 2


def test_at_once_is_not_soon(lying: LyingRegistry, source: RegistrySource, sleeps: list[float]) -> None:
    lying.on(f"{TAGS}?n=1000", Answer(429, {"Retry-After": "0"}))
    with pytest.raises(RateLimited):
        source.tags()
    assert len(sleeps) == 2
    assert 0 < sleeps[0] < sleeps[1]


def test_a_limit_that_stays_is_an_error_with_the_time(
    lying: LyingRegistry, source: RegistrySource, sleeps: list[float]
) -> None:
    lying.on(f"{TAGS}?n=1000", Answer(429, {"Retry-After": "3600"}))
    with pytest.raises(RateLimited, match="429") as caught:
        source.tags()
    assert caught.value.retry_after == 3600
    assert len(lying.asked) == 3
    assert max(sleeps) <= 60


@pytest.mark.parametrize("trouble", [Answer(500), Answer(502), DROP])
def test_trouble_that_passes_is_not_seen(trouble: Answer, lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on(f"{TAGS}?n=1000", trouble, page("1"))
    assert source.tags() == ("1",)


@pytest.mark.parametrize("trouble", [Answer(500), DROP])
def test_trouble_that_stays_is_an_error_after_three_attempts(
    trouble: Answer, lying: LyingRegistry, source: RegistrySource
) -> None:
    lying.on(f"{TAGS}?n=1000", trouble)
    with pytest.raises(Unreachable, match="after 3 attempts"):
        source.tags()
    assert len(lying.asked) == 3


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "12"}, 12),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "12\x1d"}, 12),
        ({"Retry-After": "Mon, 23 Nov 2026 12:00:30 GMT"}, 30),
        ({"Retry-After": "Mon, 23 Nov 2020 12:00:30 GMT"}, 0),
        ({"X-Retry-After": str(int(datetime(2026, 11, 23, 12, 1, tzinfo=UTC).timestamp()))}, 60),
        ({"Retry-After": "Mon, 23 Nov 2026 12:00:30 GMT, Mon, 23 Nov 2026 12:00:40 GMT"}, 30),
        ({"Retry-After": "Mon, 23 Nov 2026 12:00:30"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "9" * 400}, None),
        ({}, None),
    ],
)
def test_when_to_come_back(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers, datetime(2026, 11, 23, 12, tzinfo=UTC)) == seconds


def _httpx_errors() -> list[type[Exception]]:
    return [
        one
        for _, one in inspect.getmembers(httpx, inspect.isclass)
        if issubclass(one, Exception) and not issubclass(one, Warning)
    ]


@pytest.mark.parametrize("kind", _httpx_errors(), ids=lambda kind: kind.__name__)
def test_no_error_of_httpx_gets_out(kind: type[Exception]) -> None:
    arguments: dict[str, Any] = {
        "HTTPStatusError": {"request": httpx.Request("GET", "http://x"), "response": httpx.Response(500)},
    }.get(kind.__name__, {})
    parameters = inspect.signature(kind.__init__).parameters
    error = kind("words", **arguments) if "message" in parameters or "args" in parameters else kind()
    with pytest.raises(SourceError, match="registry"), translated("registry.example.com/a", "registry.example.com"):
        raise error


def test_sha512_is_hashed_as_such(lying: LyingRegistry, source: RegistrySource) -> None:
    digest = Digest("sha512", hashlib.sha512(BODY).hexdigest())
    lying.on(f"HEAD /v2/team/app/manifests/{digest}", Answer(405))
    lying.on(f"GET /v2/team/app/manifests/{digest}", manifest(digest="", media_type=OCI_INDEX))
    assert source.resolve(str(digest)).digest == digest
    assert source.manifest(Descriptor(OCI_MANIFEST, digest, len(BODY))) == BODY


def test_after_a_lasting_limit_no_request_waits_again_until_it_is_over(
    lying: LyingRegistry, source: RegistrySource, sleeps: list[float]
) -> None:
    lying.on(f"{TAGS}?n=1000", Answer(429, {"Retry-After": "600"}))
    with pytest.raises(RateLimited, match="try again in 600 s"):
        source.tags()
    asked, slept = len(lying.asked), len(sleeps)
    assert slept > 0
    for _ in range(3):
        with pytest.raises(RateLimited):
            source.tags()
    assert (len(lying.asked), len(sleeps)) == (asked + 3, slept)
    lying.on(f"{TAGS}?n=1000", Answer(body=b'{"tags": ["1"]}'), Answer(429), Answer(body=b'{"tags": ["2"]}'))
    assert source.tags() == ("1",)
    assert source.tags() == ("2",), "it is waited for again"


@pytest.mark.parametrize(
    "answer",
    [b"Authorization: canary-7c1d", b"HTTP/1.1 200 OK\r\nAuthorization canary-7c1d", b"HTTP/1.1 200 OK\r\n'b'\0: \"x"],
    ids=["no status", "no colon", "quotes"],
)
def test_an_answer_that_is_not_http_is_not_quoted(
    answer: bytes, lying: LyingRegistry, source: RegistrySource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="reconciler")
    lying.on(f"{TAGS}?n=1000", Answer(raw=answer + b"\r\n\r\n"))
    with pytest.raises(Unreachable, match=r"illegal (status|header) line; try again later$") as caught:
        source.tags()
    assert f"{lying.host}: illegal" in caplog.text
    assert "canary" not in caplog.text + str(caught.value)


def test_a_log_has_no_query_and_no_header(
    lying: LyingRegistry,
    elsewhere: LyingRegistry,
    open_at: Callable[..., RegistrySource],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", logger="reconciler")
    signed = "/layer?signature=canary-7c1d"
    lying.on(f"GET /v2/team/app/blobs/{LAYER.digest}", Answer(307, {"Location": f"{elsewhere.url}{signed}"}))
    elsewhere.on(f"GET {signed}", Answer(500, {"X-Said": "canary-7c1d"}), Answer(body=BLOB))
    lying.wants = ("Basic dTpjYW5hcnktN2MxZA==", 'Basic realm="r"')
    source = open_at(lying.host, Credentials("u", "canary-7c1d"))
    assert b"".join(source.blob(LAYER)) == BLOB
    bearer = f'Bearer realm="{elsewhere.url}/token?key=canary-7c1d",service="s"'
    lying.on(f"{TAGS}?n=1000", Answer(401, {"WWW-Authenticate": bearer}))
    lying.wants = None
    with pytest.raises(Denied):
        open_at(lying.host, Credentials("canary-7c1d", "canary-7c1d")).tags()
    said = caplog.text
    assert f"GET {elsewhere.url}/layer: 500" in said
    assert f"asking {elsewhere.host} for a token of repository:team/app:pull" in said
    assert f"GET {elsewhere.url}/token: 404" in said
    assert "answered 500; trying again in" in said
    assert "canary" not in said
    assert "dTpjYW5" not in said


# Quotas


def counting(remaining: int, answer: Answer) -> Answer:
    left = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": f"{remaining};w=21600"}
    return replace(answer, headers={**answer.headers, **left})


def test_every_answer_about_a_manifest_tells_the_quota(lying: LyingRegistry, source: RegistrySource) -> None:
    head, get = (f"{method} /v2/team/app/manifests/{DIGEST}" for method in ("HEAD", "GET"))
    lying.on(head, counting(76, manifest()), counting(50, manifest()), manifest())
    lying.on(get, counting(75, manifest()))
    assert source.quota() is None
    assert lying.asked == [], "nobody was asked"
    assert source.quota(ROOT) == Quota(lying.host, 100, 76, 21_600)
    assert source.quota(ROOT) == source.quota(), "it has been told"
    source.manifest(ROOT)
    assert source.quota(ROOT) == Quota(lying.host, 100, 75, 21_600)
    assert source.quota(ROOT, again=True) == Quota(lying.host, 100, 50, 21_600)
    assert source.resolve(str(DIGEST)) == ROOT
    assert source.quota(ROOT) is None, "it does not count any more"
    assert lying.requests() == [head, get, head, head]


def test_a_reserve_is_part_of_the_quota(lying: LyingRegistry, open_at: Callable[..., RegistrySource]) -> None:
    lying.on(f"HEAD /v2/team/app/manifests/{DIGEST}", counting(76, manifest()))
    quota = open_at(lying.host, None, RegistryConfig(plain_http=True, quota_reserve=80)).quota(ROOT)
    assert quota
    assert (quota, quota.usable, quota.most) == (Quota(lying.host, 100, 76, 21_600, 80), 0, 20)


def test_a_registry_without_a_quota_is_asked_once(lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on(f"HEAD /v2/team/app/manifests/{DIGEST}", manifest())
    assert source.quota(ROOT) is source.quota(ROOT) is None
    assert len(lying.asked) == 1
