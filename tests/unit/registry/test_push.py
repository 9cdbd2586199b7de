"""Uploads to registries that fail, forget, lie and redirect: what is asked again, what is given up, what is counted."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import BadAnswer, StoreDenied, StoreError, StoreUnreachable, Unreachable
from reconciler.http.patience import Patience
from reconciler.oci.spec import OCI_INDEX, Descriptor, Digest
from reconciler.registry import push as pushing
from reconciler.registry.host import TargetRegistry
from reconciler.registry.powers import Can
from reconciler.registry.reading import ReadFailed, Reading
from reconciler.registry.repository import Pushed, TargetRepository
from reconciler.sources.config import RegistryConfig
from reconciler.sources.credentials import Credentials
from reconciler.sources.registry import Registry
from reconciler.work.deadline import NEVER, Deadline
from tests.parts.logins import Given
from tests.parts.registry_habits import ECR, NEXUS, SPECIFICATION, Habits, MemoryRegistry, start_registry
from tests.parts.scripted_server import DROP, Answer, Asked

BODY = random.Random(1).randbytes(100_000)
BLOB = Descriptor("application/octet-stream", Digest.of(BODY), len(BODY))


def pieces(body: bytes = BODY, size: int = 7_000) -> Iterator[bytes]:
    yield from (body[start : start + size] for start in range(0, len(body), size))


class Target:
    """A scripted registry, and a repository opened at it. `sleeps`: the seconds that would have been waited."""

    def __init__(self, registry: MemoryRegistry, stack: ExitStack) -> None:
        self.registry = registry
        self.stack = stack
        self.sleeps: list[float] = []
        self.at = self.open()

    def open(
        self, login: Credentials | None = None, deadline: Deadline = NEVER, config: RegistryConfig | None = None
    ) -> TargetRepository:
        patience = Patience(attempts=3, sleep=self.sleeps.append, limits=5000.0)
        config = config or RegistryConfig(plain_http=True)
        client = Registry(self.registry.host, config, Given(login), patience, deadline=deadline)
        self.stack.callback(client.close)
        return TargetRegistry(client).repository("team/app")

    def push(self) -> Pushed:
        return self.at.push_blob(BLOB, pieces)

    @property
    def arrived(self) -> bool:
        return self.registry.repository("team/app").blobs.get(str(BLOB.digest)) == BODY


@pytest.fixture
def start() -> Iterator[Callable[..., Target]]:
    with ExitStack() as stack:
        yield lambda habits=SPECIFICATION: Target(stack.enter_context(start_registry(habits)), stack)


def once(method: str, answer: Answer, *, number: int = 1) -> Callable[[Asked], Answer | None]:
    """Answers the `number`th request of a method so, instead of carrying it out."""
    seen = count(1)
    return lambda asked: answer if asked.method == method and next(seen) == number else None


# What it costs


def test_nothing_new_is_one_head(start: Callable[..., Target]) -> None:
    target = start()
    target.push()
    target.registry.asked.clear()
    assert target.push() is Pushed.PRESENT
    assert target.registry.methods() == ["HEAD"]


def test_a_blob_costs_three_requests(start: Callable[..., Target]) -> None:
    target = start()
    assert target.push() is Pushed.UPLOADED
    assert target.registry.methods() == ["HEAD", "POST", "PUT"]


def test_a_mount_costs_two_and_one_that_is_ignored_none_more(start: Callable[..., Target]) -> None:
    for mount, methods in (
        (True, ["HEAD", "POST"]),
        (False, ["HEAD", "POST", "PUT"]),
        (None, ["HEAD", "POST", "POST", "PUT"]),
    ):
        target = start(Habits(mount=mount))
        target.registry.repository("team/base").blobs[str(BLOB.digest)] = BODY
        pushed = target.at.push_blob(BLOB, pieces, mount_from="team/base")
        assert pushed is (Pushed.MOUNTED if mount else Pushed.UPLOADED)
        assert target.registry.methods() == methods
        assert target.arrived


def test_a_refusal_to_mount_is_remembered(start: Callable[..., Target]) -> None:
    target = start(NEXUS)
    target.at.push_blob(BLOB, pieces, mount_from="team/base")
    assert target.at.known.powers.mount is Can.NO
    other = b"another"
    target.registry.asked.clear()
    target.at.push_blob(Descriptor("", Digest.of(other), len(other)), lambda: iter((other,)), mount_from="team/base")
    assert target.registry.methods() == ["HEAD", "POST", "PUT"]


def test_a_redirected_head_says_that_it_is_there(start: Callable[..., Target]) -> None:
    target = start()
    target.registry.judge = lambda asked: Answer(307, {"Location": "https://cdn.example.com/x?sig=1"})
    assert target.push() is Pushed.PRESENT


@pytest.mark.parametrize(
    ("headers", "is_there"),
    [
        ({}, False),
        ({"Content-Type": "text/html", "Content-Length": "3"}, False),
        ({"Docker-Content-Digest": f"sha256:{'0' * 64}", "Content-Length": "5"}, False),
        ({"Docker-Content-Digest": str(Digest.of(b"bytes"))}, True),
        ({"Docker-Content-Digest": f"sha512:{'0' * 128}", "Content-Length": "5"}, True),
    ],
    ids=["states nothing", "another length", "another digest", "its digest without a length", "another algorithm"],
)
def test_what_counts_as_a_blob_that_is_there(
    start: Callable[..., Target], headers: dict[str, str], *, is_there: bool
) -> None:
    target = start()
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    answer = Answer(raw=f"HTTP/1.1 200 OK\r\nConnection: close\r\n{head}\r\n".encode())
    target.registry.judge = lambda asked: answer if asked.method == "HEAD" else None
    assert target.at.holds(Descriptor("", Digest.of(b"bytes"), 5)) is is_there


def test_a_blob_of_another_length_counts_as_missing(start: Callable[..., Target]) -> None:
    target = start()
    target.registry.repository("team/app").blobs[str(BLOB.digest)] = b"short"
    assert target.push() is Pushed.UPLOADED
    assert target.arrived


# Ways of an upload


@pytest.mark.parametrize("where", ["absolute", "relative", "query"])
@pytest.mark.parametrize("most", [None, 30_000])
def test_locations_are_kept_to_the_letter(start: Callable[..., Target], where: str, most: int | None) -> None:
    target = start(Habits(locations=where))
    if most:
        target.at.known.takes_at_most(most)
    target.push()
    assert target.arrived
    if where == "query":
        sent = [line for line in target.registry.lines() if "digest=" in line]
        assert sent
        assert all("&_state=a%2Fb%3D=&digest=sha256:" in line for line in sent)


def test_too_large_a_body_makes_smaller_chunks(start: Callable[..., Target], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "LEAST_CHUNK", 1000)
    target = start(Habits(most=30_000))
    target.push()
    assert target.arrived
    assert target.at.known.powers.most_at_once == 25_000
    target.registry.asked.clear()
    other = BODY[::-1]
    target.at.push_blob(Descriptor("", Digest.of(other), len(other)), lambda: pieces(other))
    assert target.registry.methods() == ["HEAD", "POST", *["PATCH"] * 4, "PUT"], "the size is remembered"


def test_a_limit_below_every_chunk_is_an_error(start: Callable[..., Target]) -> None:
    target = start(Habits(most=30_000))
    with pytest.raises(StoreError, match="413"):
        target.push()
    assert not target.registry.repository("team/app").uploads, "the session was cancelled"


def test_chunks_are_as_long_as_the_registry_wants(start: Callable[..., Target]) -> None:
    target = start(Habits(least=40_000))
    target.at.known.takes_at_most(10_000)
    target.push()
    spans = [asked.headers["content-range"] for asked in target.registry.asked if asked.method == "PATCH"]
    assert spans == ["0-39999", "40000-79999", "80000-99999"]


def test_a_registry_that_takes_chunks_only_is_found_out_once(start: Callable[..., Target]) -> None:
    target = start(Habits(takes_whole=False))
    target.push()
    assert target.arrived
    assert target.at.known.powers.monolithic is Can.NO
    target.registry.asked.clear()
    other = BODY[::-1]
    target.at.push_blob(Descriptor("", Digest.of(other), len(other)), lambda: pieces(other))
    assert target.registry.methods() == ["HEAD", "POST", "PATCH", "PUT"]


@pytest.mark.parametrize(
    ("habits", "most", "found"),
    [(Habits(takes_whole=False), None, "monolithic"), (Habits(takes_chunks=False), 1000, "chunked")],
)
def test_what_another_upload_finds_out_meanwhile_fails_none(
    start: Callable[..., Target], habits: Habits, most: int | None, found: str
) -> None:
    target = start(habits)
    if most:
        target.at.known.takes_at_most(most)

    def after(asked: Asked, answer: Answer) -> Answer:
        if answer.status == 400:
            target.at.known.learn(**{found: Can.NO})
        return answer

    target.registry.after = after
    assert target.push() is Pushed.UPLOADED
    assert target.arrived


def test_ecr_takes_whole_blobs_even_if_chunks_were_tried_first(start: Callable[..., Target]) -> None:
    target = start(ECR)
    target.registry.repository("team/app")
    target.at.known.takes_at_most(30_000)
    target.push()
    assert target.arrived
    assert target.at.known.powers.chunked is Can.NO


# Failures


@pytest.mark.parametrize(
    "failure", [DROP, Answer(500), Answer(503, {"Retry-After": "7"}), Answer(429, {"Retry-After": "7"})]
)
@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH"])
@pytest.mark.parametrize("most", [None, 30_000])
def test_any_request_may_fail_once(
    start: Callable[..., Target], method: str, failure: Answer, most: int | None
) -> None:
    target = start()
    if most:
        target.at.known.takes_at_most(most)
    target.registry.judge = once(method, failure)
    assert target.push() is Pushed.UPLOADED
    assert target.arrived
    if "Retry-After" in failure.headers and method in target.registry.methods() and (method != "PATCH" or most):
        assert max(target.sleeps) == 7.0


@pytest.mark.parametrize("lost", [DROP, Answer(504)])
@pytest.mark.parametrize("most", [None, 30_000])
def test_the_last_put_was_carried_out_and_its_answer_lost(
    start: Callable[..., Target], lost: Answer, most: int | None
) -> None:
    target = start()
    if most:
        target.at.known.takes_at_most(most)
    target.registry.after = lambda asked, answer: lost if asked.method == "PUT" else answer
    assert target.push() is Pushed.UPLOADED
    assert target.registry.methods().count("PUT") == 1, "a HEAD says that it is there"


def test_the_last_put_is_answered_twice(start: Callable[..., Target]) -> None:
    target = start()
    twice = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n" * 2

    def after(asked: Asked, answer: Answer) -> Answer:
        return Answer(raw=twice) if asked.method == "PUT" else answer

    target.registry.after = after
    target.push()
    other = b"another"
    target.at.push_blob(Descriptor("", Digest.of(other), len(other)), lambda: iter((other,)))
    assert target.arrived
    assert target.registry.repository("team/app").blobs[str(Digest.of(other))] == other


@pytest.mark.parametrize("number", [1, 2, 4])
def test_an_upload_that_breaks_goes_on_where_it_got_to(start: Callable[..., Target], number: int) -> None:
    target = start()
    target.at.known.takes_at_most(30_000)
    target.registry.judge = once("PATCH", DROP, number=number)
    target.push()
    assert target.arrived
    assert target.registry.methods().count("PATCH") == 5, "only the chunk that broke is sent again"
    assert target.registry.methods().count("POST") == 1


@pytest.mark.parametrize("number", [2, 5])
def test_a_registry_that_forgets_a_session(start: Callable[..., Target], number: int) -> None:
    target = start()
    target.at.known.takes_at_most(30_000)
    seen = count(1)

    def forget(asked: Asked) -> Answer | None:
        if asked.method in ("PATCH", "PUT") and next(seen) == number:
            target.registry.repository("team/app").uploads.clear()
        return None

    target.registry.judge = forget
    target.push()
    assert target.arrived
    assert target.registry.methods().count("POST") == 2


def test_a_registry_that_always_breaks_is_given_up(start: Callable[..., Target]) -> None:
    target = start()
    target.registry.judge = lambda asked: DROP if asked.method == "PUT" else None
    with pytest.raises(StoreUnreachable, match="breaks off again and again"):
        target.push()
    assert target.registry.methods().count("PUT") <= pushing.BREAKS + 1


def test_a_rate_limit_is_waited_out_however_often_it_comes(start: Callable[..., Target]) -> None:
    target = start()
    seen = count(1)
    target.registry.judge = lambda asked: (
        Answer(429, {"Retry-After": "9"}) if asked.method == "PUT" and next(seen) < 20 else None
    )
    target.push()
    assert target.arrived
    assert sum(target.sleeps) >= 19 * 9


def test_a_rate_limit_does_not_outlast_the_run(start: Callable[..., Target]) -> None:
    target = start()
    at = target.open(deadline=Deadline(20.0))
    target.registry.judge = lambda asked: Answer(429, {"Retry-After": "30"}) if asked.method == "PUT" else None
    with pytest.raises(StoreUnreachable, match=r"when the time of the run ended: .* 429"):
        at.push_blob(BLOB, pieces)
    assert target.sleeps == [], "a wait that is too long is not begun"


def test_redirects_that_do_not_end_are_given_up(start: Callable[..., Target]) -> None:
    target = start()
    here = Answer(307, {"Location": f"{target.registry.url}/v2/team/app/blobs/uploads/x"})
    target.registry.judge = lambda asked: here if asked.method == "PUT" else None
    with pytest.raises(StoreError, match="does not end"):
        target.push()


# Lies


def test_a_registry_that_answers_with_another_digest(start: Callable[..., Target]) -> None:
    target = start()
    wrong = {"Docker-Content-Digest": f"sha256:{'0' * 64}"}
    target.registry.after = lambda asked, answer: Answer(201, wrong) if asked.method == "PUT" else answer
    with pytest.raises(StoreError, match="answered with the digest sha256:0000"):
        target.push()
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    with pytest.raises(StoreError, match="did not keep the bytes"):
        target.at.put_manifest("1", OCI_INDEX, body)


def test_accepted_is_not_yet_there(start: Callable[..., Target]) -> None:
    target = start()
    target.registry.judge = lambda asked: Answer(202) if asked.method == "PUT" else None
    with pytest.raises(StoreError):
        target.push()
    assert not target.arrived


def test_a_range_beyond_what_was_sent_is_not_believed(start: Callable[..., Target]) -> None:
    target = start()
    target.at.known.takes_at_most(30_000)
    target.registry.after = lambda asked, answer: (
        Answer(202, {**answer.headers, "Range": "0-99999"}) if asked.method == "PATCH" else answer
    )
    target.push()
    assert target.arrived, "each time it was asked how far it got"
    assert "GET" in target.registry.methods()


def test_bytes_that_change_on_their_way_are_sent_anew(start: Callable[..., Target]) -> None:
    target = start()
    target.registry.judge = once("PUT", Answer(400, body=b'{"errors":[{"code":"DIGEST_INVALID"}]}'))
    target.push()
    assert target.arrived
    assert target.at.known.powers.monolithic is Can.UNKNOWN, "it is no sign that it takes blobs another way"


# Other hosts


def test_another_host_gets_no_credentials(start: Callable[..., Target]) -> None:
    storage, target = start(), start()
    target.registry.habits = Habits(uploads_at=storage.registry.url)
    storage.registry.repository("team/app").uploads["session-1"] = bytearray()
    target.registry.judge = lambda asked: (
        None if "authorization" in asked.headers else Answer(401, {"WWW-Authenticate": 'Basic realm="x"'})
    )
    at = target.open(Credentials("user", "s3cret"))
    at.push_blob(BLOB, pieces)
    assert [asked.method for asked in storage.registry.asked] == ["PUT"]
    assert "authorization" not in storage.registry.asked[0].headers
    assert storage.registry.repository("team/app").blobs


@pytest.mark.parametrize("place", ["http://169.254.169.254/latest", "http://metadata.google.internal/x"])
def test_a_private_address_gets_nothing(start: Callable[..., Target], place: str) -> None:
    target = start()
    target.registry.after = lambda asked, answer: Answer(202, {"Location": place}) if asked.method == "POST" else answer
    with pytest.raises(StoreError, match="an address inside this network; it is not followed"):
        target.push()


def test_an_upload_without_a_location(start: Callable[..., Target]) -> None:
    target = start()
    target.registry.after = lambda asked, answer: Answer(202) if asked.method == "POST" else answer
    with pytest.raises(StoreError, match="has no Location"):
        target.push()


def test_a_redirected_put_is_sent_where_it_leads(start: Callable[..., Target]) -> None:
    storage, target = start(), start()
    storage.registry.repository("team/app").uploads["s"] = bytearray()
    place = f"{storage.registry.url}/v2/team/app/blobs/uploads/s"
    target.registry.judge = lambda asked: Answer(307, {"Location": f"{place}"}) if asked.method == "PUT" else None
    target.push()
    assert storage.registry.repository("team/app").blobs


# What is read


def test_a_source_that_fails_is_no_fault_of_the_registry(start: Callable[..., Target]) -> None:
    def failing() -> Iterator[bytes]:
        yield BODY[:50_000]
        raise Unreachable("docker.io/library/x", "the connection broke")

    target = start()
    with pytest.raises(Unreachable, match=r"docker.io/library/x"):
        target.at.push_blob(BLOB, failing)
    assert not target.arrived
    # The server may end the broken PUT after it.
    assert "DELETE" in target.registry.methods(), "the upload is cancelled"


def test_a_refused_push_names_the_login(start: Callable[..., Target]) -> None:
    target = start()
    target.registry.judge = lambda asked: (
        Answer(403, body=b'{"errors":[{"code":"DENIED"}]}') if asked.method == "POST" else None
    )
    with pytest.raises(StoreDenied, match="the login may not open an upload"):
        target.push()


def test_a_large_blob_takes_little_memory(start: Callable[..., Target]) -> None:
    size = 64 * 1024 * 1024
    piece = bytes(64 * 1024)
    blob = Descriptor("", Digest.of(bytes(size)), size)
    reading = Reading(blob, "x", lambda: (piece for _ in range(size // len(piece))))
    tracemalloc.start()
    try:
        assert sum(len(one) for one in reading.part(0, size)) == size
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


@given(st.binary(min_size=1, max_size=300), st.integers(1, 40), st.lists(st.integers(0, 299), max_size=4))
def test_any_part_can_be_read_again(body: bytes, size: int, starts: list[int]) -> None:
    blob = Descriptor("", Digest.of(body), len(body))
    reading = Reading(blob, "x", lambda: pieces(body, size))
    for start in (*(one % len(body) for one in starts), 0):
        assert b"".join(reading.part(start, len(body) - start)) == body[start:]


@given(st.binary(min_size=1, max_size=100), st.binary(max_size=100), st.integers(1, 40))
def test_other_bytes_are_never_handed_out_whole(body: bytes, other: bytes, size: int) -> None:
    if body == other:
        return
    reading = Reading(Descriptor("", Digest.of(body), len(body)), "x", lambda: pieces(other, size))
    got = bytearray()
    with pytest.raises(ReadFailed) as caught:
        b"".join(iter_into(got, reading.part(0, len(body))))
    assert isinstance(caught.value.error, BadAnswer)
    assert len(got) < len(body)


def iter_into(got: bytearray, parts: Iterator[bytes]) -> Iterator[bytes]:
    """Keeps what is handed out, also if that ends with an exception."""
    for part in parts:
        got += part
        yield part
