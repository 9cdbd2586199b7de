"""Registries that answer the referrers API, each in its own way."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.apply.attachments import fetch_attachments, open_route
from reconciler.errors import BadAnswer, MirrorError, Unreachable
from reconciler.oci.referrers import MAX_REFERRERS, CopiedAttachments, fallback_tag
from reconciler.oci.spec import MAX_MANIFEST_SIZE, OCI_INDEX, Digest
from reconciler.target.index import RepositoryState
from reconciler.target.repository import Repository
from tests.memory import MemoryStore
from tests.parts.images import Image, artifact, image, index
from tests.parts.scripted_server import Answer

if TYPE_CHECKING:
    from reconciler.apply.attachments import FetchedAttachments
    from reconciler.sources.repository import RegistrySource
    from tests.parts.lying_registry import LyingRegistry

APP = index(image({"a": "1"}))
SUBJECT = Digest.parse(APP.digest)
API = f"GET /v2/team/app/referrers/{SUBJECT}"
FALLBACK = f"/v2/team/app/manifests/{fallback_tag(SUBJECT)}"
SBOM = artifact("application/vnd.example.sbom", [("text/plain", b"contents")], APP)
SIGNATURE = artifact("application/vnd.example.signature", [("text/plain", b"signed")], APP)
STRANGER = artifact("application/vnd.example.signature", subject=image({"b": "2"}))


@pytest.fixture
def source(lying: LyingRegistry, open_at: Callable[..., RegistrySource]) -> RegistrySource:
    for one in (SBOM, SIGNATURE, STRANGER, APP):
        lying.on(f"GET /v2/team/app/manifests/{one.digest}", manifest(one))
    return open_at(lying.host)


def manifest(one: Image) -> Answer:
    headers = {"Content-Type": one.media_type, "Docker-Content-Digest": one.digest}
    return Answer(headers=headers, body=one.body)


def page(*referrers: Image | dict[str, Any], link: str = "", media_type: str = OCI_INDEX) -> Answer:
    entries = [one.descriptor() if isinstance(one, Image) else one for one in referrers]
    headers = {"Content-Type": media_type} | ({"Link": link} if link else {})
    return Answer(headers=headers, body=json.dumps({"schemaVersion": 2, "manifests": entries}).encode())


def listed(source: RegistrySource) -> list[str]:
    return [str(one.digest) for one in source.attachments(SUBJECT, frozenset()).referrers or ()]


def fetch(source: RegistrySource) -> FetchedAttachments:
    return fetch_attachments(
        open_route(source, Repository(MemoryStore(), "a"), RepositoryState(source.name), {}, source.manifest), SUBJECT
    )


def test_pages_are_followed_to_the_last_and_one_request_is_all_where_the_tags_are_known(
    lying: LyingRegistry, source: RegistrySource
) -> None:
    lying.on(API, page(SBOM, link=f'</v2/team/app/referrers/{SUBJECT}?page=2>; rel="next"'))
    lying.on(f"{API}?page=2", page(SIGNATURE, SBOM))
    assert listed(source) == [SBOM.digest, SIGNATURE.digest]
    assert {asked.headers["accept"] for asked in lying.asked} == {OCI_INDEX}
    assert lying.requests() == [API, f"{API}?page=2"]


def test_a_list_without_an_end_or_that_leads_elsewhere_is_given_up(
    lying: LyingRegistry, elsewhere: LyingRegistry, source: RegistrySource
) -> None:
    """A page costs time and up to 4 MiB, whether anything is on it or not."""
    for number in range(30):
        lying.on(f"{API}?last={number}" if number else API, page(link=f"<?last={number + 1}>; rel=next"))
    for ask in (source.referrers, lambda subject: source.attachments(subject, None)):
        lying.asked.clear()
        with pytest.raises(BadAnswer, match=r"more than 20 pages; have some removed"):
            ask(SUBJECT)
        assert len(lying.asked) == 20
    lying.on(API, page(SBOM, link=f"<{elsewhere.url}/x>; rel=next"))
    with pytest.raises(BadAnswer, match="leads elsewhere"):
        source.referrers(SUBJECT)
    assert not elsewhere.asked


def test_an_empty_list_is_an_answer(lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on(API, page(), Answer(headers={"Content-Type": OCI_INDEX}, body=b'{"manifests": null}'))
    assert source.attachments(SUBJECT, frozenset()).referrers == ()
    assert source.attachments(SUBJECT, None).referrers == ()
    assert f"HEAD {FALLBACK}" not in lying.requests(), "a registry that has the API lists all of them"
    assert len(lying.requests("HEAD")) == 3, "cosign's tags"


@pytest.mark.parametrize(
    "answer",
    [
        *(Answer(status) for status in (400, 401, 403, 404, 405, 406, 410, 422, 501)),
        page(media_type="text/html"),
        Answer(body=b"hello"),
    ],
    ids=lambda answer: f"{answer.status} {answer.headers.get('Content-Type')}",
)
def test_a_registry_without_the_api_has_a_tag_for_them(
    answer: Answer, lying: LyingRegistry, source: RegistrySource
) -> None:
    tagged = index(SBOM, SIGNATURE)
    lying.on(API, answer)
    lying.on(f"HEAD {FALLBACK}", manifest(tagged))
    lying.on(f"GET /v2/team/app/manifests/{tagged.digest}", manifest(tagged))
    assert source.attachments(SUBJECT, None).fallback is not None
    assert lying.requests("GET") == [API], "a plan spends no pull"
    found = fetch(source)
    assert {one.root.digest for one in found.referrers} == {Digest.parse(one.digest) for one in (SBOM, SIGNATURE)}
    assert found.record.fallback == Digest.parse(tagged.digest)


def test_a_refusal_is_a_warning_of_the_repository(
    lying: LyingRegistry, source: RegistrySource, caplog: pytest.LogCaptureFixture
) -> None:
    route = open_route(source, Repository(MemoryStore(), "a"), RepositoryState(source.name), {}, source.manifest)
    for subject in (SUBJECT, Digest.of(b"other")):
        lying.on(f"GET /v2/team/app/referrers/{subject}", Answer(403))
        found = source.attachments(subject, None)
        assert found.referrers is None
        assert found.refusal.startswith("the registry answered 403 to the request for referrers; only referrers named")
        assert source.referrers(subject) is None, "for who looks for signatures"
        fetch_attachments(route, subject)
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    refusal = source.attachments(SUBJECT, None).refusal
    assert warnings == [f"{source.name}: {refusal}"] * 2, "once for each of the two"


def test_a_registry_that_takes_the_tag_for_the_digest_names_no_referrers(
    lying: LyingRegistry, source: RegistrySource
) -> None:
    lying.on(f"HEAD {FALLBACK}", manifest(APP))
    assert source.attachments(SUBJECT, None).fallback is None


LIES: dict[str, tuple[list[Answer], type[MirrorError], str]] = {
    "broken": ([Answer(500)], Unreachable, "answered 500"),
    "odd": ([Answer(418)], BadAnswer, "answered 418"),
    "no JSON": ([Answer(headers={"Content-Type": OCI_INDEX}, body=b"<html>")], BadAnswer, "is not valid"),
    "no list": ([Answer(headers={"Content-Type": OCI_INDEX}, body=b'{"manifests": 7}')], BadAnswer, "expected a list"),
    "an image": ([Answer(headers={"Content-Type": OCI_INDEX}, body=SBOM.body)], BadAnswer, "is not valid"),
    "no descriptor": ([page({"digest": "x"})], BadAnswer, "expected a descriptor"),
    "much": (
        [Answer(headers={"Content-Type": OCI_INDEX}, body=b" " * (MAX_MANIFEST_SIZE + 1))],
        BadAnswer,
        "more than",
    ),
    "many": (
        [page(*({**SBOM.descriptor(), "digest": str(Digest.of(bytes([i % 256, i // 256])))} for i in range(1001)))],
        BadAnswer,
        f"more than {MAX_REFERRERS} referrers",
    ),
    "circle": ([page(SBOM, link=f'</v2/team/app/referrers/{SUBJECT}>; rel="next"')], BadAnswer, "circle"),
    "elsewhere": ([page(SBOM, link='<http://127.0.0.1:1/v2/x>; rel="next"')], BadAnswer, "leads elsewhere"),
    "a page is missing": ([page(SBOM, link="<?page=2>; rel=next")], BadAnswer, "a page is missing"),
}


@pytest.mark.parametrize(("answers", "error", "words"), LIES.values(), ids=LIES)
def test_a_list_that_is_none_is_an_error_that_says_so(
    answers: list[Answer], error: type[MirrorError], words: str, lying: LyingRegistry, source: RegistrySource
) -> None:
    lying.on(API, *answers)
    with pytest.raises(error, match=words) as raised:
        source.attachments(SUBJECT, None)
    assert str(SUBJECT) in str(raised.value)


def test_what_is_attached_to_something_else_is_refused(lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on(API, page(SBOM, STRANGER))
    with pytest.raises(BadAnswer, match=f"listed as a referrer of {SUBJECT}, but as its subject it names sha256:"):
        fetch(source)
    plain = image({"a": "1"})
    lying.on(API, page(plain))
    lying.on(f"GET /v2/team/app/manifests/{plain.digest}", manifest(plain))
    with pytest.raises(BadAnswer, match="it names none"):
        fetch(source)


def test_other_bytes_than_listed_are_refused(lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on(API, page(SBOM))
    lying.on(f"GET /v2/team/app/manifests/{SBOM.digest}", manifest(SIGNATURE))
    with pytest.raises(BadAnswer, match="expected"):
        fetch(source)


def test_what_is_listed_and_cannot_be_had_is_left_out_and_noted(
    lying: LyingRegistry, source: RegistrySource, caplog: pytest.LogCaptureFixture
) -> None:
    gone = artifact("application/vnd.example.gone", subject=APP)
    other = {**STRANGER.descriptor(), "mediaType": "application/vnd.cncf.oras.artifact.manifest.v1+json"}
    lying.on(API, page(SBOM, gone, other))
    found = fetch(source)
    assert found.record == CopiedAttachments(
        frozenset({Digest.parse(SBOM.digest)}), frozenset({Digest.parse(gone.digest), Digest.parse(STRANGER.digest)})
    )
    assert sorted(record.levelname for record in caplog.records if "left out" in record.message) == ["WARNING"] * 2


@pytest.mark.parametrize("wrong", [image({"x": "y"}), index(*[SBOM] * (MAX_REFERRERS + 1))], ids=["image", "many"])
def test_a_fallback_tag_that_lists_no_referrers(wrong: Image, lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on(f"HEAD {FALLBACK}", manifest(wrong))
    lying.on(f"GET /v2/team/app/manifests/{wrong.digest}", manifest(wrong))
    with pytest.raises(BadAnswer, match=r"expected an index of its referrers|more than 1000 referrers"):
        fetch(source)
