"""Numbers from outside size neither memory nor dates: each has a bound, and what nobody foresaw costs one image."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from reconciler.apply.outcome import Done, Failed
from reconciler.errors import BadAnswer, Malformed, StoreError
from reconciler.oci.spec import MAX_MANIFEST_SIZE, OCI_MANIFEST, Digest, load_json, parse_manifest
from reconciler.sources import repository
from reconciler.stores.buckets import S3
from reconciler.stores.parts import MAX_PART_SIZE, MAX_SIZE, parts
from reconciler.target.index import MirrorIndex, RepositoryState, TagState, expired, parse, serialise
from reconciler.target.layout import BLOB_HEADERS
from tests.bench import V1, V2, Bench, check_visible
from tests.parts.lying_registry import Answer
from tests.parts.scripted_s3 import Answer as StoreAnswer
from tests.parts.scripted_s3 import serve_script
from tests.world import InProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from reconciler.sources.repository import RegistrySource
    from reconciler.stores import Store
    from tests.parts.lying_registry import LyingRegistry

CREDENTIALS = {"R2_ACCESS_KEY_ID": "the-key", "R2_SECRET_ACCESS_KEY": "the-secret"}
FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
NOW = datetime(2026, 11, 20, tzinfo=UTC)
DIGEST = Digest.of(b"x")


# Sizes


@pytest.fixture
def bucket() -> Iterator[tuple[Store, Callable[..., None]]]:
    """A store, and what says how its server answers from then on."""
    with serve_script() as server:

        def on(body: bytes = b"", **headers: str) -> None:
            server.otherwise = lambda _: StoreAnswer(headers=headers, body=body)

        yield S3("bucket", "auto", server.url, None, None).open(CREDENTIALS).public, on


@pytest.mark.parametrize("size", [MAX_SIZE + 1, 10**14, 10**15, 2**63 - 1])
def test_a_blob_that_claims_to_be_huge_is_refused_before_a_byte_of_it_is_fetched(
    size: int, bucket: tuple[Store, Callable[..., None]]
) -> None:
    fetched: list[bytes] = []

    def chunks() -> Iterator[bytes]:
        fetched.append(b"x")
        yield b"x"

    tracemalloc.start()
    try:
        with pytest.raises(StoreError, match=f"a blob of {size} bytes; the most that can be uploaded is {MAX_SIZE}"):
            bucket[0].upload("blob", chunks(), size, DIGEST, BLOB_HEADERS)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert not fetched


def test_no_part_is_larger_than_its_bound() -> None:
    assert MAX_SIZE / parts(MAX_SIZE) <= MAX_PART_SIZE < 100_000_000


@pytest.mark.parametrize("size", ["x", "-1", "1e3", "9" * 30, "9" * 5000])
def test_a_listing_whose_sizes_are_none_is_not_understood(size: str, bucket: tuple[Store, Callable[..., None]]) -> None:
    store, on = bucket
    row = f"<Contents><Key>v2/a</Key><Size>{size}</Size></Contents>"
    on(f"<ListBucketResult><IsTruncated>false</IsTruncated>{row}</ListBucketResult>".encode())
    with pytest.raises(StoreError, match="cannot be understood"):
        list(store.list("v2/"))


@pytest.mark.parametrize("header", [{"Last-Modified": "soon"}, {"ETag": '"e"', "Last-Modified": "9" * 40}])
def test_an_object_whose_time_is_none_is_not_understood_or_has_none(
    header: dict[str, str], bucket: tuple[Store, Callable[..., None]]
) -> None:
    store, on = bucket
    on(b"{}", **header)
    with contextlib.suppress(StoreError):
        assert store.size("v2/a") == 2


@pytest.mark.parametrize("entry", ["{}", "[]", '""', '{"ab":12}'])
def test_a_manifest_of_countless_values_is_refused_before_they_take_memory(entry: str) -> None:
    most = MAX_MANIFEST_SIZE // (len(entry) + 1) - 10
    body = f'{{"layers":[],"x":[{",".join([entry] * most)}]}}'.encode()
    tracemalloc.start()
    try:
        with pytest.raises(Malformed, match="more than 250000 values"):
            parse_manifest(body, OCI_MANIFEST, "it")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


# Lists of tags

TAGS = "GET /v2/team/app/tags/list?n=1000"


def test_large_pages_are_read_one_at_a_time(
    lying: LyingRegistry,
    open_at: Callable[..., RegistrySource],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most = now = 0
    counting = threading.Lock()
    load = load_json

    def counted(*arguments: object) -> object:
        nonlocal most, now
        with counting:
            now += 1
            most = max(most, now)
        try:
            return load(*arguments)  # type: ignore[arg-type]
        finally:
            with counting:
                now -= 1

    monkeypatch.setattr(repository, "load_json", counted)
    tags = [f"{number:06d}" for number in range(130_000)]
    lying.on(TAGS, Answer(body=json.dumps({"tags": tags}).encode()))
    source = open_at(lying.host)
    with ThreadPoolExecutor(6) as executor:
        assert {len(one) for one in executor.map(lambda _: source.tags(), range(6))} == {130_000}
    assert most == 1
    assert len(lying.requests(TAGS)) == 12, "each was asked for again when it turned out to be large"


@pytest.mark.parametrize(
    "body",
    [b'{"tags": [' + b"{}," * 1_000_001 + b"{}]}", b'{"tags": []' + b" " * (16 * 1024 * 1024) + b"}"],
    ids=["values", "bytes"],
)
def test_pages_beyond_reason_are_an_error(
    body: bytes,
    lying: LyingRegistry,
    open_at: Callable[..., RegistrySource],
) -> None:
    lying.on(TAGS, Answer(body=body))
    with pytest.raises(BadAnswer, match="more than"):
        open_at(lying.host).tags()


def test_the_last_page_counts_too(
    lying: LyingRegistry,
    open_at: Callable[..., RegistrySource],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(repository, "MAX_TAGS", 3)
    lying.on(TAGS, Answer(body=json.dumps({"tags": ["1", "2", "3", "4"]}).encode()))
    with pytest.raises(BadAnswer, match="more than 3 tags"):
        open_at(lying.host).tags()


# Times


@pytest.mark.parametrize("since", [FIRST, LAST])
def test_every_time_of_an_index_can_be_read_compared_and_written(since: datetime) -> None:
    state = RepositoryState("s", {"1": TagState(DIGEST, OCI_MANIFEST, 1, None, since)}, {DIGEST: since})
    index = MirrorIndex(1, {"a": state})
    assert parse(serialise(index, since, "test"), "it") == index
    for retain in (timedelta(), timedelta(weeks=500_000), timedelta.max):
        assert expired(state, retain, NOW) == ({DIGEST} if NOW - since >= retain else frozenset())


@pytest.mark.parametrize("retain", ["500000w", "999999w", "0s"])
def test_a_long_retention_is_one(retain: str, tmp_path: Path) -> None:
    world = InProcess(tmp_path, {"type": "file", "path": "mirror"}, defaults={"retain": retain})
    index = MirrorIndex(
        1, {"gone": RepositoryState("oci:x", {}, {DIGEST: LAST, Digest.of(b"y"): FIRST}, owner="default")}
    )
    (tmp_path / "mirror/_mirror").mkdir(parents=True)
    (tmp_path / "mirror/_mirror/index.json").write_bytes(serialise(index, FIRST, "test"))
    (tmp_path / "layout").mkdir()
    world.mirrors({"source": "oci:layout", "target": "a", "tags": ["1"]})
    world.run("validate")
    world.apply(code=1)
    after = parse((tmp_path / "mirror/_mirror/index.json").read_bytes(), "it").repositories
    assert after["gone"].retired.keys() == ({DIGEST} if retain == "0s" else {DIGEST, Digest.of(b"y")})


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "1e9", "soon"])
def test_an_option_that_has_one_wait_for_ever_is_refused(seconds: str, tmp_path: Path) -> None:
    world = InProcess(tmp_path, {"type": "file", "path": "mirror"})
    for command in (["apply"], ["gc"], ["adopt"]):
        said = world.run(*command, f"--lock-timeout={seconds}", code=1).stderr
        assert f"'{seconds}' is not a number of seconds from 0 to 604800 (a week)" in said
    assert "not a number" in world.run("edge", "apply", f"--timeout={seconds}", code=1).stderr


# What nobody foresaw


@pytest.mark.parametrize("error", [MemoryError(), OverflowError("date value out of range"), KeyError("x")])
def test_an_unforeseen_error_is_the_failure_of_its_image_alone(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench.of(a={"1": V1}, b={"1": V2})
    plan = bench.plan()
    layer = next(iter(V1.children[0].blobs))
    bench.sources["a"].failing[layer] = error  # type: ignore[assignment]
    with caplog.at_level(logging.DEBUG):
        outcomes = bench.apply(plan)
    assert {one.target: type(one) for one in outcomes} == {"a": Failed, "b": Done}
    failed = next(one for one in outcomes if isinstance(one, Failed))
    assert type(error).__name__ in failed.error
    assert "report it" in failed.error
    assert "Traceback" in caplog.text
    assert all(record.levelno == logging.DEBUG for record in caplog.records if record.exc_info)
    check_visible(bench.store)


@pytest.mark.parametrize("reference", ["", "1"])
def test_an_unforeseen_error_of_a_plan_is_its_repository_s_alone(reference: str) -> None:
    bench = Bench.of(a={"1": V1}, b={"1": V2})
    bench.sources["a"].failing[reference] = OverflowError("out of range")  # type: ignore[assignment]
    plan = bench.plan()
    assert plan.counts["errors"] == 1
    assert "OverflowError: out of range" in str(plan.repositories[0].troubles)
    assert {type(one) for one in bench.apply(plan)} == {Done}
